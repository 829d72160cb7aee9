"""Records of deletions: they excuse a missing tenant only if the instance signed them for it."""

from __future__ import annotations

from telemetry.log.key_file import SigningKey
from telemetry.tlog.note import Signer, sign
from telemetry.verification.deletions import deletion_in, is_signed_deletion, record_text


def test_a_record_excuses_its_own_tenant_if_the_sealing_key_signed_it() -> None:
    own, stranger = SigningKey.new("log.example"), SigningKey.new("log.example")
    keys = [own.verifier_key("another.name").public_key]
    for key, tenant, holds in ((own, "tn_1", True), (own, "tn_2", False), (stranger, "tn_1", False)):
        note = str(sign(record_text({"tenant_id": tenant}), [Signer(key.name, key.private_key)]))
        record = deletion_in(note)
        assert record is not None
        assert is_signed_deletion(record, "tn_1", keys) is holds
    assert deletion_in("log.example/tn_1\n3\nAAAA\n") is None
