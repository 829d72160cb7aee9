from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import CommandParser

from telemetry.log.key_file import KeyFile, KeyFileProblem
from telemetry.log.store import LogStore
from telemetry.receipts.key_rotation import record_key_change
from telemetry.sealing.sealer import Sealer
from threada_site.database.unit_of_work import unit_of_work
from threada_site.runtime.sealer.key import settle_sealing_key
from threada_site.runtime.sealer.process import (
    instance_name,
    line_log,
    sealer_conninfo,
    sealing_anchor,
    sealing_key_file,
)
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import Tenant


class Command(TenantCommand):
    help = (
        "Rotate the sealing key: both keys sign until --finish, so that verifiers who trust the old key learn the new "
        "one from its signature. Run it where the sealer runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--finish", action="store_true", help="sign with the new key only from now on")
        how.add_argument("--lost", action="store_true", help="start with a new key because the key file is lost")

    def run_command(self, **options: Any) -> None:
        key_file = sealing_key_file()
        try:
            if options["lost"]:
                self._replace(key_file)
            elif options["finish"]:
                self._finish(key_file)
            else:
                self._begin(key_file)
        except KeyFileProblem as error:
            self.refuse(str(error))

    def _begin(self, key_file: KeyFile) -> None:
        """Add a new key and sign the head of every log with both, whatever the sealer is doing."""
        old, new = key_file.begin_rotation()
        name = new.name
        with psycopg.connect(sealer_conninfo(), autocommit=True) as connection:
            store = LogStore(connection)
            sealer = Sealer(
                store,
                key_file=key_file,
                anchor=sealing_anchor(),
                log=line_log(),
                with_instance_log=settings.THREADA_INSTANCE_LOG,
            )
            logs = store.tenants_with_logs()
            broken = [tenant_id for tenant_id in logs if sealer.sign(tenant_id, always=True) is None]
            if sealer.instance:
                sealer.instance.append()
                if logs and sealer.instance.sign(always=True) is None:
                    self.refuse("The instance log differs from the one that was signed. Fix that, then run this again.")
        keys = {"old": str(old.verifier_key(name)), "new": str(new.verifier_key(name))}
        self._tell_tenants("announced", keys)
        if broken:
            slugs = ", ".join(Tenant.objects.filter(id__in=broken).values_list("slug", flat=True))
            self.refuse(f"The log of {slugs} differs from the one that was signed. Fix that, then run this again.")
        self.stdout.write(f"Both keys sign now. Old: {keys['old']}\nNew: {keys['new']}")
        self.stdout.write("Once all verifiers know the new key: manage.py rotate_sealing_key --finish")

    def _finish(self, key_file: KeyFile) -> None:
        keys = key_file.keys()
        if len(keys) < 2:
            self.refuse("No rotation is in progress. Start one with: manage.py rotate_sealing_key")
        key_file.finish_rotation()
        self._record_key(key_file)
        name = keys[-1].name
        said = {"old": str(keys[0].verifier_key(name)), "new": str(keys[-1].verifier_key(name))}
        self._tell_tenants("retired", said)
        self.stdout.write(f"{said['new']} is the only signing key now.")

    def _replace(self, key_file: KeyFile) -> None:
        if key_file.exists():
            self.refuse(f"There is a key in {key_file.path}. Run this without --lost to rotate it.")
        key_file.create(instance_name())
        self._record_key(key_file)
        key = key_file.keys()[0]
        self._tell_tenants("replaced", {"new": str(key.verifier_key(key.name))})
        self.stdout.write(f"{key.verifier_key(key.name)} signs. No signature of the lost key confirms it.")

    @staticmethod
    def _record_key(key_file: KeyFile) -> None:
        """Record this key as the instance's. From now on a sealer without it does not start."""
        with psycopg.connect(sealer_conninfo(), autocommit=True) as connection:
            settle_sealing_key(connection, key_file, accepted=True)

    def _tell_tenants(self, step: str, keys: dict[str, str]) -> None:
        for tenant in Tenant.objects.order_by("id"):
            ctx = self.command_context(tenant.slug)
            with unit_of_work(tenant.id):
                record_key_change(step, keys=keys, ctx=ctx)
