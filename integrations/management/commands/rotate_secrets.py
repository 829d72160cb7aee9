from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandParser

from integrations.keyring import KeyringProblem, keys_in, write_keys
from integrations.services.vault import encrypt_anew, encrypted_with_older_keys, keyring
from threada_site.tenancy.management.base import ProductCommand

BATCH: Final = 200


class Command(ProductCommand):
    help = (
        "Encrypt every stored secret with the first key, in batches, while everything runs; may be ended and run "
        "again. Where the keys are in a file, --new-key makes one and puts it first, and --finish removes those that "
        "encrypt nothing any more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--new-key", action="store_true", help="put a new key first in the key file, then go on")
        how.add_argument("--finish", action="store_true", help="go on, then keep the first key of the file alone")

    def act(self, **options: Any) -> None:
        try:
            if options["new_key"]:
                path = self._key_file()
                write_keys(path, [secrets.token_urlsafe(48), *keys_in(path.read_text("ascii"))])
            self._go_on()
            if options["finish"]:
                path = self._key_file()
                write_keys(path, keys_in(path.read_text("ascii"))[:1])
                self.stdout.write("The first key alone is kept.")
        except (KeyringProblem, OSError) as error:
            self.refuse(str(error))

    def _go_on(self) -> None:
        total = 0
        while True:
            done, _broken = encrypt_anew(most=BATCH)
            total += done
            if not done:
                break
        left = encrypted_with_older_keys()
        if left:
            self.refuse(f"{total} encrypted anew; {left} could not be: no key opens them, or others were at them.")
        self.stdout.write(f"{total} encrypted anew with key {keyring().key_ids[0]}.")

    def _key_file(self) -> Path:
        if not settings.THREADA_SECRETS_KEY_FILE:
            self.misuse("The keys are in THREADA_SECRETS_KEY: write the new one first there, and restart everything.")
        return Path(settings.THREADA_SECRETS_KEY_FILE)
