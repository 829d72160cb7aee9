"""Documents of the policies app: parsing and validation. Pure."""
