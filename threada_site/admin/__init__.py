"""Building blocks of console pages: permissions, rows, lists, buttons and forms, used by the `admin` of each app."""
