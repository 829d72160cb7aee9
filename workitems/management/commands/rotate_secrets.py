from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandParser

from integrations.secrets.vault import encrypted_with_older_keys, reencrypt_secrets
from threada_site.identity.factors.totp import reencrypt_totp, with_older_keys
from threada_site.kernel.keyring import KeyringProblem, keys_in, write_keys
from threada_site.personal_data.instance_keyring import keyring
from threada_site.tenancy.instance_membership import SECRETS_KEY, accept_facts
from threada_site.tenancy.management.base import ProductCommand
from workitems.notices.preferences import reencrypt_addresses

BATCH: Final = 200
PATIENCE: Final = 10_000
GRACE_S: Final = 2.0


class Command(ProductCommand):
    uses_keys = True
    help = (
        "Encrypt all stored secrets, secrets of authenticator apps and chat addresses with the first key, in batches, "
        "while the instance runs. The command may be interrupted and run again. With keys in a file, --new-key puts a "
        "new key first, and --finish removes the keys that are no longer used."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--new-key", action="store_true", help="put a new key first in the key file, then re-encrypt")
        how.add_argument("--finish", action="store_true", help="re-encrypt, then remove all keys but the first")

    def run_command(self, **options: Any) -> None:
        try:
            if options["new_key"]:
                path = self._key_file()
                write_keys(path, [secrets.token_urlsafe(48), *keys_in(path.read_text("ascii"))])
            self._go_on()
            if options["finish"]:
                path = self._key_file()
                time.sleep(GRACE_S)  # transactions that used the older key have committed by then
                self._go_on()
                write_keys(path, keys_in(path.read_text("ascii"))[:1])
                self.stdout.write("All keys but the first were removed.")
        except (KeyringProblem, OSError) as error:
            self.refuse(str(error))

    def _go_on(self) -> None:
        total = _in_batches(reencrypt_secrets, encrypted_with_older_keys)
        total += _in_batches(reencrypt_totp, lambda: with_older_keys().count())
        after, unreadable = None, 0
        while True:
            after, done, broken = reencrypt_addresses(after=after, most=BATCH)
            total, unreadable = total + done, unreadable + broken
            if after is None:
                break
        left = encrypted_with_older_keys() + with_older_keys().count() + unreadable
        if left:
            self.refuse(f"{total} re-encrypted; {left} could not be: no key decrypts them, or their rows were locked.")
        accept_facts([SECRETS_KEY])  # from now on, a machine without this key cannot join
        self.stdout.write(f"{total} re-encrypted with key {keyring().key_ids[0]}.")

    def _key_file(self) -> Path:
        if not settings.THREADA_SECRETS_KEY_FILE:
            self.misuse("The keys are in THREADA_SECRETS_KEY. Put the new key first there and restart all processes.")
        return Path(settings.THREADA_SECRETS_KEY_FILE)


def _in_batches(reencrypt: Callable[..., tuple[int, int]], left: Callable[[], int]) -> int:
    """Call `reencrypt` until only undecryptable rows are left. Return the number of re-encrypted ones."""
    total = 0
    for _ in range(PATIENCE):
        done, broken = reencrypt(most=BATCH)
        total += done
        if not done and broken == left():
            break
        if not done:
            time.sleep(0.05)  # other processes have locked the rest
    return total
