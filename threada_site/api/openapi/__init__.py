"""OpenAPI document: operations, parameters, descriptions, and schemas in their published form."""
