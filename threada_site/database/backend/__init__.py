"""Django's PostgreSQL backend, which can also start the embedded server and prepare statements."""
