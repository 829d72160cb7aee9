"""Language of pages, and catalogs of translations."""
