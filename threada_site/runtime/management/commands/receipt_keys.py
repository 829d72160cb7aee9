from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from telemetry.log.key_file import SigningKey
from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.receipts.signature import ROLES
from telemetry.receipts.signing import receipt_keyring
from threada_site.kernel import clock
from threada_site.tenancy.instance_membership import RECEIPT_KEYS, accept_facts
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Show the public keys of receipts, print new keys for variables, or replace the keys in files."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="does")
        actions.add_parser("make", help="print new private keys and their public keys as variables; store nothing")
        actions.add_parser("rotate", help="replace the private keys in files; the public keys before are retired now")

    def run_command(self, **options: Any) -> None:
        if options["does"] == "make":
            self._make()
        elif options["does"] == "rotate":
            self._rotate()
        else:
            self.stdout.write(str(receipt_keyring().public()).rstrip("\n"))

    def _make(self) -> None:
        keys = {role: SigningKey.new(role) for role in ROLES}
        for role, key in keys.items():
            self.stdout.write(f"# {role}\nTHREADA_RECEIPT_KEY={key}")
        made = ReceiptKeyring.of(keys.values())
        self.stdout.write(f"# all processes\nTHREADA_RECEIPT_PUBLIC_KEYS={' '.join(map(str, made.public()))}")

    def _rotate(self) -> None:
        public = receipt_keyring().rotate(now=clock.now())
        accept_facts([RECEIPT_KEYS])
        self.stdout.write(str(public).rstrip("\n"))
        self.stdout.write("Running processes sign with the new keys now. The sealer endorses them within a minute.")
