"""Kinds of quotas, with the words for people. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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
    Quota.OPEN_WORK_ITEMS: "open work items",
    Quota.POLICY_DRAFTS: "policy drafts",
    Quota.EXPORTS: "exports",
    Quota.DELIVERIES: "deliveries",
    Quota.RUNNING_REPLAYS: "running replays",
    Quota.TRUSTED_ISSUERS: "trusted issuers",
    Quota.EXCHANGED_TOKENS: "live exchanged tokens",
    Quota.PROVISIONED_PEOPLE: "provisioned people",
    Quota.PROVISIONED_GROUPS: "provisioned groups",
    Quota.STORED_BYTES: "stored bytes",
}
ADVICE: Final = {
    Quota.OPEN_WORK_ITEMS: "End open work items, for example cancel those that nobody needs",
    Quota.POLICY_DRAFTS: "Publish drafts, or edit one instead of adding another",
    Quota.EXPORTS: "Cancel exports that nobody needs; others expire by themselves",
    Quota.DELIVERIES: "Remove a delivery",
    Quota.RUNNING_REPLAYS: "Wait for a replay to finish, or cancel one",
    Quota.TRUSTED_ISSUERS: "Withdraw a trusted issuer that nobody needs",
    Quota.EXCHANGED_TOKENS: "Use a token until it expires instead of exchanging another",
    Quota.PROVISIONED_PEOPLE: "Delete people at the provisioning client",
    Quota.PROVISIONED_GROUPS: "Delete groups at the provisioning client",
    Quota.STORED_BYTES: "Remove ended cases with a retention rule",
}
