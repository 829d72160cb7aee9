"""Environment variables of the processes that `up` starts: each gets the database login that it needs and no other."""

from __future__ import annotations

from django.conf import settings

from telemetry.receipts.signing import receipt_keyring
from threada_site.database.bootstrap import login_url
from threada_site.database.role_names import APP, PLATFORM_LOGIN
from threada_site.runtime.separation import local_url

type Changes = dict[str, str | None]
"""Variables to set, or to remove (None)."""


def web_login_url() -> str:
    """Return the URL of the web's login; empty if only the platform's login is known."""
    url = settings.THREADA_WEB_DATABASE_URL
    return login_url(url, settings.THREADA_DATA_DIR, login=APP) if url else ""


def environments(*, have_accounts: bool) -> dict[str, Changes]:
    """Return the changes of the environment for each process.

    `have_accounts`: the processes do not run as root, which has the embedded server and a home directory. On the
    embedded server and without such accounts, no variable names a login; with one login for all processes no login
    changes either.
    """
    web: Changes = {}
    others: Changes = {}
    if settings.THREADA_HAS_PLATFORM_LOGIN and (settings.DATABASE_URL or have_accounts):
        web = {
            "DATABASE_URL": web_login_url() if settings.DATABASE_URL else local_url(APP),
            "THREADA_PLATFORM_DATABASE_URL": None,
            "THREADA_HAS_PLATFORM_LOGIN": "true",
        }
        others = {"DATABASE_URL": None, "THREADA_PLATFORM_DATABASE_URL": _platform_login_url()}
    # The default data directory depends on the account, so the processes are told the one of this command.
    common: Changes = {"THREADA_DATA_DIR": str(settings.THREADA_DATA_DIR)}
    if have_accounts:
        common["HOME"] = "/nonexistent"
    own = _receipt_keys()
    return {
        "web": web | common | own.get("web", {}),
        "worker": others | common | own.get("worker", {}),
        "sealer": others | common | own.get("sealer", {}),
    }


def _receipt_keys() -> dict[str, Changes]:
    """Return the variables of the keys of receipts for each process, if this one has them in variables: the private key
    of its role only, and all public keys."""
    if not settings.THREADA_RECEIPT_KEY:
        return {}
    keyring = receipt_keyring()
    public = " ".join(map(str, keyring.public()))
    private: dict[str, str | None] = {role: str(keyring.private(role)) for role in ("web", "worker")}
    return {
        process: {"THREADA_RECEIPT_KEY": private.get(process), "THREADA_RECEIPT_PUBLIC_KEYS": public}
        for process in ("web", "worker", "sealer")
    }


def _platform_login_url() -> str:
    if not settings.DATABASE_URL:
        return local_url(PLATFORM_LOGIN)
    return login_url(settings.DATABASE_URL, settings.THREADA_DATA_DIR, login=PLATFORM_LOGIN)
