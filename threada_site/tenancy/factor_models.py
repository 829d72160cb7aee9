"""Second factors of people. Like the account, they belong to a person and to no tenant."""

from __future__ import annotations

from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.kernel import clock, ids
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import User

ENROLLED_KINDS: Final = (Factor.TOTP.value, Factor.PASSKEY.value)
LABEL_LENGTH: Final = 100
HOST_LENGTH: Final = 253


class EnrolledFactor(models.Model):
    """Second factor that a person enrolled: an authenticator app (`totp`) or a passkey.

    `secret` of an authenticator app is encrypted with the keyring of the instance, together with the ids of the row
    and the person. `last_step` is the time step of the last accepted code: each code serves once.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, editable=False, related_name="enrolled_factors")
    kind = models.CharField(max_length=16, editable=False)
    label = models.CharField(max_length=LABEL_LENGTH, blank=True)
    secret = models.BinaryField(null=True, editable=False)
    key_id = models.CharField(max_length=16, blank=True, editable=False)
    last_step = models.BigIntegerField(null=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "second factor"
        constraints = [
            models.CheckConstraint(name="enrolledfactor_kind_known", condition=models.Q(kind__in=ENROLLED_KINDS)),
            models.CheckConstraint(
                name="enrolledfactor_totp_has_secret",
                condition=models.Q(kind=Factor.TOTP.value, secret__isnull=False)
                | (~models.Q(kind=Factor.TOTP.value) & models.Q(secret__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.FACTOR, self.id)


class Passkey(models.Model):
    """What verifies a passkey; its person, name and times are those of `factor`.

    `data` contains model, id and public key as the authenticator sent them (attested credential data). `user_handle`
    names the account to the authenticator: random bytes, the same for all passkeys of a person. `sign_count` is that
    of the last use, 0 for passkeys that do not count.
    """

    factor = models.OneToOneField(
        EnrolledFactor, on_delete=models.CASCADE, primary_key=True, editable=False, related_name="passkey"
    )
    credential_id = models.BinaryField(unique=True, editable=False)
    data = models.BinaryField(editable=False)
    user_handle = models.BinaryField(max_length=64, editable=False)
    rp_id = models.CharField(max_length=HOST_LENGTH, editable=False, help_text="Host that it is bound to.")
    sign_count = models.BigIntegerField(default=0, editable=False)
    transports = ArrayField(models.CharField(max_length=20), default=list, editable=False)
    is_synced = models.BooleanField(
        default=False, editable=False, help_text="A password manager may copy it to other devices of the person."
    )

    def __str__(self) -> str:
        return str(self.factor)


class RecoveryCode(models.Model):
    """One-time code of a person who has lost all factors. Only its SHA-256 with the person's id is stored."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, editable=False, related_name="recovery_codes")
    code_sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"
