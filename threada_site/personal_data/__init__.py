"""Personal data: encrypted columns, erasable fields and keys per person."""
