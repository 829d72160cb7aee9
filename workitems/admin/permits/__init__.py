"""Console pages of permits."""
