#!/usr/bin/env python
"""Management commands: `up`, `apply`, `create_credential` and the rest (`manage.py help`)."""

from threada_site.command_line import main

if __name__ == "__main__":
    main()
