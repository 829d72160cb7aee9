"""Kinds of quotas, with the words for people. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from threada_site.kernel.sentences import marked


class Quota(StrEnum):
    """Kinds of things that a quota limits."""

    OPEN_WORK_ITEMS = "open_work_items"
    POLICY_DRAFTS = "policy_drafts"
    EXPORTS = "exports"
    DELIVERIES = "deliveries"
    RUNNING_REPLAYS = "running_replays"
    TRUSTED_ISSUERS = "trusted_issuers"
    EXCHANGED_TOKENS = "exchanged_tokens"
    PROVISIONED_PEOPLE = "provisioned_people"
    PROVISIONED_GROUPS = "provisioned_groups"
    STORED_BYTES = "stored_bytes"


NAMES: Final = {
    Quota.OPEN_WORK_ITEMS: marked("open work items"),
    Quota.POLICY_DRAFTS: marked("policy drafts"),
    Quota.EXPORTS: marked("exports"),
    Quota.DELIVERIES: marked("deliveries"),
    Quota.RUNNING_REPLAYS: marked("running replays"),
    Quota.TRUSTED_ISSUERS: marked("trusted issuers"),
    Quota.EXCHANGED_TOKENS: marked("live exchanged tokens"),
    Quota.PROVISIONED_PEOPLE: marked("provisioned people"),
    Quota.PROVISIONED_GROUPS: marked("provisioned groups"),
    Quota.STORED_BYTES: marked("stored bytes"),
}
ADVICE: Final = {
    Quota.OPEN_WORK_ITEMS: marked("End open work items, for example cancel those that nobody needs"),
    Quota.POLICY_DRAFTS: marked("Publish drafts, or edit one instead of adding another"),
    Quota.EXPORTS: marked("Cancel exports that nobody needs; others expire by themselves"),
    Quota.DELIVERIES: marked("Remove a delivery"),
    Quota.RUNNING_REPLAYS: marked("Wait for a replay to finish, or cancel one"),
    Quota.TRUSTED_ISSUERS: marked("Withdraw a trusted issuer that nobody needs"),
    Quota.EXCHANGED_TOKENS: marked("Use a token until it expires instead of exchanging another"),
    Quota.PROVISIONED_PEOPLE: marked("Delete people at the provisioning client"),
    Quota.PROVISIONED_GROUPS: marked("Delete groups at the provisioning client"),
    Quota.STORED_BYTES: marked("Remove ended cases with a retention rule"),
}
