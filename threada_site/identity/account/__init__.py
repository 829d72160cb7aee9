"""What people do with their own accounts: mail address and security history."""
