"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from threada_site.api.bodies import reading_undeclared

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
application = reading_undeclared(get_wsgi_application())
