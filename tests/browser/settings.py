"""The product's settings on the database of the tests: for server processes that tests start."""

import os

from threada_site.settings import *  # noqa: F403
from threada_site.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["THREADA_TEST_DATABASE"]
