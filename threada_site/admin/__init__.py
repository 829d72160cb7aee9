"""The grammar of console pages: rights, rows, lists, buttons and forms, for the `admin` module of every app."""
