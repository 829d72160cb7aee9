"""JSON: canonical bytes, strict reading, pointers, schemas and differences. Pure."""
