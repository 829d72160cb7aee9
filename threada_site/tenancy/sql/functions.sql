-- Look-ups before a tenant is known. Owned by threada_owner, which row-level security does not restrict. They return
-- data of the given credential or person only.

-- Return true if a row of a tenant table belongs to the tenant. Table names are passed at run time, because the tables
-- belong to apps of higher layers.
CREATE OR REPLACE FUNCTION threada_belongs(p_table text, p_object text, p_tenant uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    belongs boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE id = $1 AND tenant_id = $2)', p_table)
       INTO belongs USING p_object::uuid, p_tenant;
    RETURN belongs;
END
$$;

-- Rights of a principal in a tenant, one row per grant: (role or NULL, model, object id, codename, visibility). Grants to the principal
-- itself name objects of all its tenants; those of other tenants are left out. One row for each group of people that it
-- belongs to in the tenant: (NULL, 'people_group', slug of the group, NULL, NULL).
-- The visibility is that of the role for its scopes on the tenant, and `tenant` for all other grants.
CREATE OR REPLACE FUNCTION threada_grants(p_user uuid, p_tenant uuid)
RETURNS TABLE (role_slug text, model text, object_id text, codename text, visibility text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.slug::text, c.model::text, g.object_pk::text, p.codename::text,
           CASE WHEN c.model = 'tenant' THEN r.visibility::text ELSE 'tenant' END
      FROM tenancy_role r
      JOIN tenancy_user_groups ug ON ug.group_id = r.group_id AND ug.user_id = p_user
      LEFT JOIN guardian_groupobjectpermission g ON g.group_id = r.group_id
      LEFT JOIN auth_permission p ON p.id = g.permission_id
      LEFT JOIN django_content_type c ON c.id = g.content_type_id
     WHERE r.tenant_id = p_tenant
    UNION ALL
    SELECT NULL, c.model::text, g.object_pk::text, p.codename::text, 'tenant'
      FROM guardian_userobjectpermission g
      JOIN auth_permission p ON p.id = g.permission_id
      JOIN django_content_type c ON c.id = g.content_type_id
     WHERE g.user_id = p_user
       AND CASE WHEN c.model IN ('workflow', 'integration')
                THEN threada_belongs(c.app_label || '_' || c.model, g.object_pk, p_tenant)
                ELSE c.model = 'tenant' AND g.object_pk = p_tenant::text END
    UNION ALL
    SELECT NULL, 'people_group', g.slug::text, NULL, NULL
      FROM tenancy_membership m
      JOIN tenancy_peoplegroupmember i ON i.tenant_id = m.tenant_id AND i.membership_id = m.id
      JOIN tenancy_peoplegroup g ON g.tenant_id = i.tenant_id AND g.id = i.group_id
     WHERE m.user_id = p_user AND m.tenant_id = p_tenant
$$;

-- Looks a credential up by the SHA-256 of its token and sets its tenant as that of the transaction, and the work items
-- that its principal sees. A tenant that is asked for must be that one. No row: no such token. `status` says what is wrong
-- otherwise. A token that another one was exchanged for ends with the version of the trusted issuer that named its
-- principal. `is_known_network` is false if the credential was never used from the network, which may be NULL.
CREATE OR REPLACE FUNCTION threada_enter(p_token_sha256 bytea, p_tenant text, p_network text)
RETURNS TABLE (status text, credential_id uuid, user_id uuid, username text, kind text,
               tenant_id uuid, tenant_slug text, scopes jsonb, grants jsonb, issued_by uuid,
               is_known_network boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    held record;
    state text := 'ok';
    granted jsonb;
    sees text := '';
BEGIN
    SELECT c.id, c.user_id, u.username, u.kind, c.tenant_id, t.slug, c.scopes, c.revoked_at, c.expires_at,
           c.issued_by, c.last_used_at, c.networks, c.roles, c.trusted_issuer_version_id, c.awaits_confirmation, u.is_active AND t.is_active AS active,
           EXISTS (SELECT 1 FROM tenancy_membership m
                    WHERE m.user_id = u.id AND m.tenant_id = t.id AND m.accepted_at IS NOT NULL) AS belongs
      INTO held
      FROM tenancy_credential c
      JOIN tenancy_user u ON u.id = c.user_id
      JOIN tenancy_tenant t ON t.id = c.tenant_id
     WHERE c.token_sha256 = p_token_sha256;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF held.revoked_at IS NOT NULL THEN
        state := 'revoked';
    ELSIF held.expires_at IS NOT NULL AND held.expires_at <= now() THEN
        state := 'expired';
    ELSIF NOT held.active OR NOT held.belongs THEN
        state := 'inactive';
    ELSIF held.trusted_issuer_version_id IS NOT NULL AND (held.kind = 'human' OR NOT EXISTS (
              SELECT FROM tenancy_trustedissuer i
               WHERE i.tenant_id = held.tenant_id AND i.current_version_id = held.trusted_issuer_version_id)) THEN
        state := 'revoked';
    ELSIF held.awaits_confirmation THEN
        state := 'unconfirmed';
    ELSIF held.kind <> 'human' AND EXISTS (
              SELECT FROM integrations_freeze f
               WHERE f.tenant_id = held.tenant_id AND f.lifted_at IS NULL AND f.principal_id = held.user_id) THEN
        state := 'frozen';
    ELSIF p_tenant IS NOT NULL AND p_tenant <> held.slug THEN
        state := 'tenant_mismatch';
    END IF;
    -- A refusal is that tenant's to record, so the tenant is set in either case; rights are handed out only when all is well.
    IF state = 'ok' THEN
        SELECT jsonb_agg(jsonb_build_array(g.role_slug, g.model, g.object_id, g.codename, g.visibility)),
               CASE WHEN bool_or(g.visibility = 'own') AND NOT bool_or(g.visibility = 'tenant') THEN 'own'
                    ELSE 'tenant' END
          INTO granted, sees
          FROM (SELECT role_slug, model, object_id, codename,
                       CASE WHEN codename = 'workitems_read' AND model IN ('tenant', 'workflow') THEN visibility END
                           AS visibility
                  FROM threada_grants(held.user_id, held.tenant_id)
                 WHERE held.roles IS NULL OR role_slug = ANY (held.roles) OR model = 'people_group') g;
    END IF;
    PERFORM set_config('app.tenant', held.tenant_id::text, true), set_config('app.visibility', sees, true),
            set_config('app.principal', CASE WHEN sees = 'own' THEN held.user_id::text ELSE '' END, true);
    IF state = 'ok' AND (held.last_used_at IS NULL OR held.last_used_at < now() - interval '1 minute') THEN
        UPDATE tenancy_credential SET last_used_at = now()
         WHERE id = (SELECT id FROM tenancy_credential WHERE id = held.id FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY SELECT state, held.id, held.user_id, held.username::text, held.kind::text,
        held.tenant_id, held.slug::text, held.scopes,
        granted, held.issued_by, p_network IS NULL OR p_network = ANY (held.networks);
END
$$;

-- Return true if a work item is a principal's own or names it. Called by the policies of case tables, which apply to
-- the caller and not to this function.
CREATE OR REPLACE FUNCTION threada_names(p_item uuid, p_principal uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM workitems_workitem w
         WHERE w.id = p_item AND w.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid
           AND (p_principal IN (w.requester_id, w.submitted_by_id)
                OR EXISTS (SELECT FROM workitems_participant p
                            WHERE p.tenant_id = w.tenant_id AND p.principal_id = p_principal
                              AND p.work_item_id = w.id)));
END
$$;

-- Ids of the principals who, directly or through a chain, control a principal: an account by its open dependences, an
-- agent or a service also by those who own it, added it, ever issued a credential for it, or let a trusted issuer name it.
CREATE OR REPLACE FUNCTION threada_controllers(p_user uuid, p_tenant uuid) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE reached(id) AS (
        SELECT p_user
        UNION
        SELECT controller.id
          FROM reached r
         CROSS JOIN LATERAL (
               SELECT d.depends_on_id FROM tenancy_accountdependence d
                WHERE d.tenant_id = p_tenant AND d.user_id = r.id AND d.ended_at IS NULL
                UNION ALL
               SELECT maker.id
                 FROM tenancy_user u
                 JOIN tenancy_membership m ON m.tenant_id = p_tenant AND m.user_id = u.id
                CROSS JOIN LATERAL (VALUES (m.owner_id), (m.added_by)) AS maker(id)
                WHERE u.id = r.id AND u.kind <> 'human' AND maker.id IS NOT NULL
                UNION ALL
               SELECT c.issued_by
                 FROM tenancy_user u
                 JOIN tenancy_credential c ON c.tenant_id = p_tenant AND c.user_id = u.id
                WHERE u.id = r.id AND u.kind <> 'human' AND c.issued_by IS NOT NULL
                UNION ALL
               SELECT author.id
                 FROM tenancy_user u
                 JOIN tenancy_trustedissuerversion v ON v.tenant_id = p_tenant
                CROSS JOIN LATERAL (VALUES (v.created_by), (v.proposed_by)) AS author(id)
                WHERE u.id = r.id AND u.home_tenant_id = p_tenant AND author.id IS NOT NULL
                  AND (v.spec @> jsonb_build_object(
                           'mappings', jsonb_build_array(jsonb_build_object('principal', u.username)))
                       OR v.spec @? '$.mappings[*].principal_from')) AS controller(id)
    )
    SELECT coalesce(array_agg(id), '{}') FROM reached WHERE id <> p_user
$$;

-- The tenants whose invitation a person accepted: what the console offers after login. `takes_password` is false where an
-- identity provider with `enforce` is in force that does not name the person among `break_glass`. `needs_second_factor`
-- is true where the tenant requires one and a role of the person does: because it says so, or because it can decide and
-- does not say otherwise. Whoever can decide by a grant on an object needs one too.
CREATE OR REPLACE FUNCTION threada_tenants_of(p_user uuid)
RETURNS TABLE (tenant_id uuid, slug text, name text, takes_password boolean, requires_mfa boolean,
               needs_second_factor boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.slug::text, t.name::text,
           NOT EXISTS (SELECT FROM tenancy_identityprovider p
                         JOIN tenancy_identityproviderversion v ON v.id = p.current_version_id
                         JOIN tenancy_user u ON u.id = m.user_id
                        WHERE p.tenant_id = t.id AND v.spec->>'enforce' = 'true'
                          AND NOT jsonb_exists(coalesce(v.spec->'break_glass', '[]'), u.username)),
           t.require_mfa,
           t.require_mfa AND (
               EXISTS (SELECT FROM tenancy_role r
                         JOIN tenancy_user_groups ug ON ug.group_id = r.group_id AND ug.user_id = m.user_id
                        WHERE r.tenant_id = t.id
                          AND coalesce(r.require_mfa, EXISTS (
                              SELECT FROM guardian_groupobjectpermission g JOIN auth_permission p ON p.id = g.permission_id
                               WHERE g.group_id = r.group_id
                                 AND p.codename IN ('decisions_decide', 'workflow_manage'))))
               OR EXISTS (SELECT FROM guardian_userobjectpermission g
                            JOIN auth_permission p ON p.id = g.permission_id
                            JOIN django_content_type c ON c.id = g.content_type_id
                           WHERE g.user_id = m.user_id AND p.codename IN ('decisions_decide', 'workflow_manage')
                             AND CASE WHEN c.model IN ('workflow', 'integration')
                                      THEN threada_belongs(c.app_label || '_' || c.model, g.object_pk, t.id)
                                      ELSE g.object_pk = t.id::text END))
      FROM tenancy_membership m JOIN tenancy_tenant t ON t.id = m.tenant_id
     WHERE m.user_id = p_user AND m.accepted_at IS NOT NULL AND t.is_active
     ORDER BY t.slug
$$;

-- Return true if a principal is a member of, or invited to, another tenant than the given one.
CREATE OR REPLACE FUNCTION threada_belongs_elsewhere(p_user uuid, p_tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM tenancy_membership m WHERE m.user_id = p_user AND m.tenant_id <> p_tenant)
$$;

-- Return true if a principal is a member of a tenant, active or not, and not only invited to it, or was added by a
-- provisioning client of another tenant, which makes the principal a member again without an invitation.
CREATE OR REPLACE FUNCTION threada_is_member_somewhere(p_user uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM tenancy_membership m WHERE m.user_id = p_user AND m.accepted_at IS NOT NULL)
        OR EXISTS (SELECT 1 FROM tenancy_provisionedperson p
                    WHERE p.user_id = p_user
                      AND p.tenant_id IS DISTINCT FROM NULLIF(current_setting('app.tenant', true), '')::uuid)
$$;

-- Tenant of a one-time link to an account, by the SHA-256 of its token. No row: no such link.
CREATE OR REPLACE FUNCTION threada_tenant_of_link(p_token_sha256 bytea)
RETURNS TABLE (tenant_id uuid, slug text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.slug::text, t.name::text
      FROM tenancy_accountlink l JOIN tenancy_tenant t ON t.id = l.tenant_id
     WHERE l.token_sha256 = p_token_sha256 AND t.is_active
$$;
