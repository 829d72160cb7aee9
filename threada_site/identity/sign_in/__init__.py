"""Sign-in with a password: counters of attempts, delays, known browsers, password hashes and password rules."""
