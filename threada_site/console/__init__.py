"""The browser console: Django's admin with unfold, inside one chosen tenant. Pages call the services the API calls."""
