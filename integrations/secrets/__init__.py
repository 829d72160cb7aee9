"""Secrets: references, the keyring and the vault of encrypted values."""
