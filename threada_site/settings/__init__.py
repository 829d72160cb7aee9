"""Settings by subject. Everything an operator may change is read from the environment and has a safe default."""

import threada_site.settings.lean  # noqa: F401  (first: it limits what the others import)
from threada_site.settings.api import *  # noqa: F403  (Django reads one flat module)
from threada_site.settings.apps import *  # noqa: F403
from threada_site.settings.console import *  # noqa: F403
from threada_site.settings.database import *  # noqa: F403
from threada_site.settings.files import *  # noqa: F403
from threada_site.settings.logging import *  # noqa: F403
from threada_site.settings.mail import *  # noqa: F403
from threada_site.settings.product import *  # noqa: F403
from threada_site.settings.security import *  # noqa: F403
