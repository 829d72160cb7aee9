"""Console pages of retention, legal holds and the deletion of the tenant."""
