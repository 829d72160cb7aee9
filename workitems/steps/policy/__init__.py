"""Policy decisions about cases: at intake, one by one or in sets."""
