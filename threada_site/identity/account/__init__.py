"""Changes that people make to their own accounts: mail address; and their security history."""
