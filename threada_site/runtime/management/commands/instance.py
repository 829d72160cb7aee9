from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import CommandParser

from integrations.secrets.vault import encrypted_with_unknown_keys
from telemetry.log.key_file import KeyFileProblem
from threada_site.identity.factors.totp import with_unknown_keys
from threada_site.jobs.engines.choice import CELERY, engine_problem
from threada_site.kernel.keyring import Undecryptable
from threada_site.personal_data.subject_keys import opens_a_key
from threada_site.runtime.sealer.key import SEALING_KEY, settle_sealing_key
from threada_site.runtime.sealer.process import sealer_conninfo, sealing_key_file
from threada_site.tenancy.instance_membership import (
    KEYS,
    SECRETS_KEY,
    SETTINGS,
    SKEW_TOLERATED_S,
    accept_facts,
    clock_skew,
    difference,
    differing_facts,
)
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Compare this machine's keys, settings and clock with the instance's, or accept what was changed here."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="does", required=True)
        actions.add_parser("check", help="compare; exit status 1 when something differs")
        accept = actions.add_parser("accept", help="make this machine's values those of the instance")
        accept.add_argument("names", nargs="+", choices=[*KEYS, *SETTINGS, SEALING_KEY], metavar="NAME")
        accept.add_argument(
            "--although-unreadable",
            action="store_true",
            help="also accept a key that cannot decrypt stored data, which is then lost",
        )

    def run_command(self, **options: Any) -> None:
        if options["does"] == "accept":
            self._accept(options["names"], although_unreadable=options["although_unreadable"])
            return
        differing = differing_facts(with_settings=True)
        ahead = clock_skew()
        if abs(ahead) > SKEW_TOLERATED_S:
            self.stdout.write(f"This machine's clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}.")
        if differing:
            self.refuse(*map(difference, differing))
        if settings.THREADA_ENGINE == CELERY and settings.THREADA_BROKER_URL:
            self._check_broker()
        self.stdout.write("Keys and settings are those of the instance.")

    def _check_broker(self) -> None:
        if problem := engine_problem():
            self.refuse(f"{problem}.")
        from threada_site.jobs.engines.celery.app import BROKER_AWAY, celery_app
        from threada_site.jobs.engines.celery.broker_check import OTHER_BROKER, uses_other_broker
        from threada_site.jobs.pools import all_pools

        try:
            if uses_other_broker(celery_app(all_pools(1))):
                self.refuse(f"{OTHER_BROKER}.")
        except BROKER_AWAY as error:
            self.stdout.write(f"The broker does not answer ({type(error).__name__}): where it leads is not compared.")

    def _accept(self, names: list[str], *, although_unreadable: bool) -> None:
        if not although_unreadable:
            problems = [problem for name in names if (problem := _unreadable(name))]
            if problems:
                self.refuse(*problems)
        if SEALING_KEY in names:
            self._accept_sealing_key()
        left = accept_facts(names)
        self.stdout.write(f"From now on every machine must have this machine's {', '.join(names)}.")
        if left:
            self.refuse(*map(difference, left))

    def _accept_sealing_key(self) -> None:
        try:
            with psycopg.connect(sealer_conninfo(), autocommit=True) as connection:
                settle_sealing_key(connection, sealing_key_file(), accepted=True)
        except KeyFileProblem as error:
            self.refuse(str(error))


def _unreadable(name: str) -> str:
    """Return what could no longer be read under this machine's key, or ""."""
    if name == SECRETS_KEY:
        try:
            count = encrypted_with_unknown_keys() + with_unknown_keys().count()
        except Undecryptable as error:
            return str(error)
        return f"{count} stored secrets are encrypted with keys that are not here." if count else ""
    if name == "THREADA_PEOPLE_KEY" and not opens_a_key():
        return "This THREADA_PEOPLE_KEY does not open the keys of people in cases."
    return ""
