"""Storage of files: Django storages, encryption with a key per file, checked reading."""
