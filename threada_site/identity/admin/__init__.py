"""Console pages of access: members, roles, groups, credentials, four-eyes rules."""

from threada_site.identity.admin import credentials, four_eyes, groups, members, roles

__all__ = ["credentials", "four_eyes", "groups", "members", "roles"]
