"""The engine inside PostgreSQL: jobs in the tables of procrastinate, and their worker."""
