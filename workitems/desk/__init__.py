"""Decision desk: saved views, page views and decision statistics."""
