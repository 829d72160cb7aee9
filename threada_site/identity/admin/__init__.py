"""The console's pages of access: who belongs to the tenant, their roles and groups, and which tokens speak for them."""

from threada_site.identity.admin import credentials, four_eyes, groups, members, roles

__all__ = ["credentials", "four_eyes", "groups", "members", "roles"]
