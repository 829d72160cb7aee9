"""Passkeys (WebAuthn): ceremonies, verification, and the passkeys of a person."""
