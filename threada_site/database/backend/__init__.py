"""Django's PostgreSQL backend with two differences: it can start the embedded server, and test databases have an
owner."""
