"""Console pages of access: members, roles, groups, credentials, four-eyes rules, change sets."""

from threada_site.identity.admin import change_sets, credentials, four_eyes, groups, members, roles

__all__ = ["change_sets", "credentials", "four_eyes", "groups", "members", "roles"]
