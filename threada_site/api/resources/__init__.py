"""API resources: fields declared once, from which the representation and its JSON Schema are derived."""
