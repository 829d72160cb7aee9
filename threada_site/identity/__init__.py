"""Tenants, principals, roles and credentials. Every change leaves a receipt whose body contains ids only.

Tables without a tenant column (principals, groups, their permissions) have no row-level security. Each function
restricts its queries to `ctx.tenant_id` itself.
"""
