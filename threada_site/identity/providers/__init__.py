"""Identity providers: documents, links between their accounts and people, and roles from their groups."""
