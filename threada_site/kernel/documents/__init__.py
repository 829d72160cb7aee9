"""YAML documents: reader with positions, and writer. Pure."""
