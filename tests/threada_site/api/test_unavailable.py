"""An unreachable database, in a process of its own: a problem, not a page or a stack trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from django.conf import settings

ASK = """
import json, os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "threada_site.settings"
django.setup()
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
settings.DATABASES["default"]["OPTIONS"]["pool"]["timeout"] = 0.5
from tests.client import Api
from threada_site.kernel import tokens
for path in ("/me", "/readyz", "/metrics", "/healthz"):
    response = Api(settings.THREADA_METRICS_TOKENS[0] if path == "/metrics" else tokens.new_token()).get(path)
    if path == "/metrics":
        told = "threada_database_up 0.0" in response.content.decode()
    else:
        told = response.json().get("reason_code")
    print(json.dumps([path, response.status_code, told, response.headers.get("Retry-After")]))
"""


def test_unreachable_database_is_a_problem() -> None:
    environment = os.environ | {"DATABASE_URL": "host=/nowhere user=threada_app dbname=threada"}
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=settings.THREADA_BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [
        ["/me", 503, "service_unavailable", "2"],
        ["/readyz", 503, "not_ready", None],
        ["/metrics", 200, True, None],
        ["/healthz", 200, None, None],
    ]
