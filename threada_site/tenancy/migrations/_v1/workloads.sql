-- Look-ups for tokens of trusted issuers, before a tenant is known. Owned by threada_owner, which row-level security does
-- not restrict.

-- Trusted issuers in force of an issuer for one of these audiences, in active tenants. At most two rows: with two, the
-- tenant of the token is ambiguous.
CREATE OR REPLACE FUNCTION threada_trusted_issuers(p_issuer text, p_audiences text[])
RETURNS TABLE (tenant_id uuid, tenant_slug text, issuer_id uuid, slug text, audience text, version_id uuid,
               created_by uuid, spec jsonb, keys jsonb, keys_source text, keys_fetched_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.slug::text, i.id, i.slug::text, i.audience::text, v.id,
           v.created_by, v.spec, i.keys, i.keys_source::text, i.keys_fetched_at
      FROM tenancy_trustedissuer i
      JOIN tenancy_trustedissuerversion v ON v.tenant_id = i.tenant_id AND v.id = i.current_version_id
      JOIN tenancy_tenant t ON t.id = i.tenant_id AND t.is_active
     WHERE i.issuer = p_issuer AND i.audience = ANY (p_audiences)
     LIMIT 2
$$;

-- Looks a service or an agent up by its name in a tenant, and sets that tenant as that of the transaction, and the work
-- items that the principal sees. With `p_roles`, only the grants of these roles count. No row: no such member. The
-- caller has verified a token of a trusted issuer of this tenant.
CREATE OR REPLACE FUNCTION threada_enter_workload(p_tenant_id uuid, p_name text, p_roles text[])
RETURNS TABLE (status text, user_id uuid, kind text, grants jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    held record;
    state text := 'ok';
    granted jsonb;
    sees text := '';
BEGIN
    PERFORM set_config('app.tenant', p_tenant_id::text, true), set_config('app.visibility', '', true),
            set_config('app.principal', '', true);
    SELECT u.id, u.kind, u.is_active AND t.is_active AND m.accepted_at IS NOT NULL AS active
      INTO held
      FROM tenancy_membership m
      JOIN tenancy_user u ON u.id = m.user_id
      JOIN tenancy_tenant t ON t.id = m.tenant_id
     WHERE m.tenant_id = p_tenant_id AND u.username = p_name
     ORDER BY u.kind = 'human' DESC
     LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF held.kind = 'human' THEN
        state := 'person';
    ELSIF NOT held.active THEN
        state := 'inactive';
    ELSIF EXISTS (SELECT FROM integrations_freeze f
                   WHERE f.tenant_id = p_tenant_id AND f.lifted_at IS NULL AND f.principal_id = held.id) THEN
        state := 'frozen';
    ELSE
        SELECT jsonb_agg(jsonb_build_array(g.role_slug, g.model, g.object_id, g.codename, g.visibility)),
               CASE WHEN bool_or(g.shown = 'own') AND NOT bool_or(g.shown = 'tenant') THEN 'own' ELSE 'tenant' END
          INTO granted, sees
          FROM (SELECT role_slug, model, object_id, codename, visibility,
                       CASE WHEN codename = 'workitems_read' AND model IN ('tenant', 'workflow') THEN visibility END
                           AS shown
                  FROM threada_grants(held.id, p_tenant_id)
                 WHERE p_roles IS NULL OR role_slug = ANY (p_roles) OR model = 'people_group') g;
        PERFORM set_config('app.visibility', coalesce(sees, 'tenant'), true),
                set_config('app.principal', CASE WHEN sees = 'own' THEN held.id::text ELSE '' END, true);
    END IF;
    RETURN QUERY SELECT state, held.id, held.kind::text, granted;
END
$$;
