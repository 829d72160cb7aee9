"""Settings of server processes that tests start: the product's settings with the test database."""

import os

from threada_site.settings import *  # noqa: F403
from threada_site.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["THREADA_TEST_DATABASE"]
