"""Console addresses of passkeys. Pages ask for options by a script (`console/passkeys.js`)."""
