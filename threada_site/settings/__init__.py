"""Settings by subject. Everything an operator may change comes from the environment, with a safe default."""

import threada_site.settings.lean  # noqa: F401  (first: it decides what others load)
from threada_site.settings.api import *  # noqa: F403  (Django reads one flat module)
from threada_site.settings.apps import *  # noqa: F403
from threada_site.settings.console import *  # noqa: F403
from threada_site.settings.database import *  # noqa: F403
from threada_site.settings.logging import *  # noqa: F403
from threada_site.settings.mail import *  # noqa: F403
from threada_site.settings.product import *  # noqa: F403
from threada_site.settings.security import *  # noqa: F403
