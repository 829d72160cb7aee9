"""What people keep at the desk, and what they leave there."""
