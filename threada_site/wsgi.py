"""The WSGI entry point."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from threada_site.api.bodies import body_limit, reading_undeclared  # noqa: F401 - the former for the web server

os.environ["THREADA_PROCESS"] = "web"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
application = reading_undeclared(get_wsgi_application())

# The web server reads them: requests that hash passwords, refusals for people, requests whose body it need not wait
# for, and statuses that requests wait for. Models can be imported only after the set-up.
from threada_site.runtime.web.password_requests import password_precedence  # noqa: E402, F401
from threada_site.runtime.web.refusal_pages import refusal_page  # noqa: E402, F401
from threada_site.runtime.web.statuses import read_statuses  # noqa: E402, F401
from threada_site.runtime.web.unread import answers_unread, refuse  # noqa: E402, F401

# What a process keeps for its life, the views included, is left out of garbage collection: a full collection would walk
# through all of it, in the middle of a request.
_views = get_resolver().url_patterns
gc.collect()
gc.freeze()
