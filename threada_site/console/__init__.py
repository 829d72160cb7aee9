"""Browser console: Django's admin with unfold, inside one tenant. Its pages call the same services as the API."""
