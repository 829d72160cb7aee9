"""The ASGI entry point, for servers that want one; Threada itself serves WSGI."""

import os

from django.core.asgi import get_asgi_application

os.environ["THREADA_PROCESS"] = "web"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
application = get_asgi_application()
