"""Console pages of access: members, roles, groups, credentials, four-eyes rules, change sets."""

from threada_site.identity.admin import (
    access_holders,
    access_reviews,
    account_links,
    change_sets,
    credentials,
    four_eyes,
    groups,
    members,
    personal_tokens,
    roles,
    trusted_issuers,
)

__all__ = [
    "access_holders",
    "access_reviews",
    "account_links",
    "change_sets",
    "credentials",
    "four_eyes",
    "groups",
    "members",
    "personal_tokens",
    "roles",
    "trusted_issuers",
]
