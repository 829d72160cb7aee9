#!/usr/bin/env python
"""Management commands: `up`, `apply`, `create_credential` and the rest (`manage.py help`)."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    execute_from_command_line(sys.argv)
