"""Endpoints of what stewards administer: principals, roles, groups, credentials, lists, retention and legal holds."""
