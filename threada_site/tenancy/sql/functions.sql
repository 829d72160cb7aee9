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
-- `p_snapshot` and `p_visibility` are what an earlier call returned whose scopes and grants the caller keeps. `is_changed`
-- is false if they hold, because no later transaction changed permissions in the tenant; they are then not read. Everything
-- else is checked by each call. `snapshot` is NULL if the answer must not be kept: on a replica, whose snapshots lack
-- running transactions, and in a transaction that has written, whose own changes no snapshot tells apart.
CREATE OR REPLACE FUNCTION threada_enter(
    p_token_sha256 bytea, p_tenant text, p_network text, p_snapshot pg_snapshot, p_visibility text)
RETURNS TABLE (status text, credential_id uuid, user_id uuid, username text, kind text,
               tenant_id uuid, tenant_slug text, issued_by uuid, is_known_network boolean,
               is_changed boolean, snapshot text, visibility text, scopes jsonb, grants jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    held record;
    shown text := '';
    setting text;
BEGIN
    SELECT c.id, c.user_id, u.username::text, u.kind::text, c.tenant_id, t.slug::text, c.scopes, c.roles, c.issued_by,
           c.last_used_at IS NULL OR c.last_used_at < now() - interval '1 minute' AS is_stale,
           p_network IS NULL OR p_network = ANY (c.networks) AS is_known_network,
           CASE WHEN c.revoked_at IS NOT NULL THEN 'revoked'
                WHEN c.expires_at <= now() THEN 'expired'
                WHEN NOT u.is_active OR NOT t.is_active OR m.accepted_at IS NULL THEN 'inactive'
                WHEN c.trusted_issuer_version_id IS NOT NULL AND (u.kind = 'human' OR NOT EXISTS (
                         SELECT FROM tenancy_trustedissuer i
                          WHERE i.tenant_id = c.tenant_id AND i.current_version_id = c.trusted_issuer_version_id))
                THEN 'revoked'
                WHEN c.awaits_confirmation THEN 'unconfirmed'
                WHEN u.kind <> 'human' AND EXISTS (
                         SELECT FROM integrations_freeze f
                          WHERE f.tenant_id = c.tenant_id AND f.lifted_at IS NULL AND f.principal_id = c.user_id)
                THEN 'frozen'
                WHEN p_tenant <> t.slug THEN 'tenant_mismatch'
                ELSE 'ok' END AS state,
           p_snapshot IS NULL OR pg_is_in_recovery() OR pg_current_xact_id_if_assigned() IS NOT NULL OR EXISTS (
                SELECT FROM tenancy_permissionchange x
                 WHERE x.tenant = c.tenant_id AND x.transaction >= pg_snapshot_xmin(p_snapshot)
                   AND x.transaction < pg_snapshot_xmax(pg_current_snapshot())  -- none from before a restore
                   AND NOT pg_visible_in_snapshot(x.transaction, p_snapshot)) AS is_changed,
           CASE WHEN NOT pg_is_in_recovery() AND pg_current_xact_id_if_assigned() IS NULL
                THEN pg_current_snapshot()::text END AS snapshot
      INTO held
      FROM tenancy_credential c
      JOIN tenancy_user u ON u.id = c.user_id
      JOIN tenancy_tenant t ON t.id = c.tenant_id
      LEFT JOIN tenancy_membership m ON m.tenant_id = c.tenant_id AND m.user_id = c.user_id
     WHERE c.token_sha256 = p_token_sha256;
    IF held.id IS NULL THEN
        RETURN;
    END IF;
    status := held.state;
    -- A refusal is that tenant's to record, so the tenant is set in either case; rights are handed out only when all is well.
    IF status = 'ok' THEN
        IF held.is_changed THEN
            SELECT jsonb_agg(jsonb_build_array(g.role_slug, g.model, g.object_id, g.codename, g.visibility)),
                   CASE WHEN bool_or(g.visibility = 'own') AND NOT bool_or(g.visibility = 'tenant') THEN 'own'
                        ELSE 'tenant' END
              INTO grants, shown
              FROM (SELECT role_slug, model, object_id, codename,
                           CASE WHEN codename = 'workitems_read' AND model IN ('tenant', 'workflow') THEN visibility END
                               AS visibility
                      FROM threada_grants(held.user_id, held.tenant_id)
                     WHERE held.roles IS NULL OR role_slug = ANY (held.roles) OR model = 'people_group') g;
            scopes := held.scopes;
            snapshot := held.snapshot;
        ELSE
            shown := p_visibility;
        END IF;
        IF held.is_stale THEN
            UPDATE tenancy_credential SET last_used_at = now()
             WHERE id = (SELECT id FROM tenancy_credential WHERE id = held.id FOR UPDATE SKIP LOCKED);
        END IF;
    END IF;
    setting := set_config('app.tenant', held.tenant_id::text, true);
    setting := set_config('app.visibility', shown, true);
    setting := set_config('app.principal', CASE WHEN shown = 'own' THEN held.user_id::text ELSE '' END, true);
    visibility := shown;
    credential_id := held.id; user_id := held.user_id; username := held.username; kind := held.kind;
    tenant_id := held.tenant_id; tenant_slug := held.slug; issued_by := held.issued_by;
    is_known_network := held.is_known_network; is_changed := held.is_changed;
    RETURN NEXT;
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
-- NULL if a chain ends at nobody who is known: at an agent or a service of the tenant whose owner is no active, accepted
-- person of it, at one that was removed and had no owner, or at somebody who added an agent or a service, issued a live
-- credential for it or maps it now and is no active, accepted member any more. The latter is answered for by whoever is
-- named as owner afterwards: the naming ends the dependence on the one who left. NULL as a principal is the operator.
CREATE OR REPLACE FUNCTION threada_controllers(p_user uuid, p_tenant uuid) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE reached(id, must_be_member, is_answered_for) AS (
        SELECT p_user, false, false
        UNION
        SELECT controller.id, controller.must_be_member,
               r.is_answered_for OR (controller.must_be_member AND NOT EXISTS (
                   SELECT FROM tenancy_membership m JOIN tenancy_user u ON u.id = m.user_id
                    WHERE m.tenant_id = p_tenant AND m.user_id = controller.id AND u.is_active
                      AND m.accepted_at IS NOT NULL)
               AND coalesce((SELECT bool_and(d.ended_at IS NOT NULL) FROM tenancy_accountdependence d
                              WHERE d.tenant_id = p_tenant AND d.user_id = r.id
                                AND d.depends_on_id = controller.id), false))
          FROM reached r
         CROSS JOIN LATERAL (
               SELECT d.depends_on_id, false FROM tenancy_accountdependence d
                WHERE d.tenant_id = p_tenant AND d.user_id = r.id AND d.ended_at IS NULL
                UNION ALL
               SELECT maker.id, maker.must_be_member
                 FROM tenancy_user u
                 JOIN tenancy_membership m ON m.tenant_id = p_tenant AND m.user_id = u.id
                CROSS JOIN LATERAL (VALUES (m.owner_id, false), (m.added_by, true)) AS maker(id, must_be_member)
                WHERE u.id = r.id AND u.kind <> 'human' AND maker.id IS NOT NULL
                UNION ALL
               SELECT c.issued_by, c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
                 FROM tenancy_user u
                 JOIN tenancy_credential c ON c.tenant_id = p_tenant AND c.user_id = u.id
                WHERE u.id = r.id AND u.kind <> 'human' AND c.issued_by IS NOT NULL
                UNION ALL
               SELECT author.id, EXISTS (SELECT FROM tenancy_trustedissuer i
                                          WHERE i.tenant_id = p_tenant AND i.current_version_id = v.id)
                 FROM tenancy_user u
                 JOIN tenancy_trustedissuerversion v ON v.tenant_id = p_tenant
                CROSS JOIN LATERAL (VALUES (v.created_by), (v.proposed_by)) AS author(id)
                WHERE u.id = r.id AND u.home_tenant_id = p_tenant AND author.id IS NOT NULL
                  AND (v.spec @> jsonb_build_object(
                           'mappings', jsonb_build_array(jsonb_build_object('principal', u.username)))
                       OR v.spec @? '$.mappings[*].principal_from')) AS controller(id, must_be_member)
    )
    SELECT CASE WHEN EXISTS (
        SELECT FROM reached r
          LEFT JOIN tenancy_user u ON u.id = r.id
          LEFT JOIN tenancy_membership m ON m.tenant_id = p_tenant AND m.user_id = r.id
         WHERE NOT r.is_answered_for AND r.id <> '00000000-0000-0000-0000-000000000000'
           AND CASE WHEN u.id IS NULL THEN true
                    WHEN u.kind = 'human' THEN r.must_be_member AND (NOT u.is_active OR m.accepted_at IS NULL)
                    WHEN m.id IS NULL THEN NOT EXISTS (
                         SELECT FROM tenancy_accountdependence d
                          WHERE d.tenant_id = p_tenant AND d.user_id = r.id AND d.reason = 'owned')
                    ELSE NOT EXISTS (
                         SELECT FROM tenancy_user owner
                           JOIN tenancy_membership o ON o.tenant_id = p_tenant AND o.user_id = owner.id
                          WHERE owner.id = m.owner_id AND owner.kind = 'human' AND owner.is_active
                            AND o.accepted_at IS NOT NULL) END)
    THEN NULL ELSE (SELECT coalesce(array_agg(DISTINCT id), '{}') FROM reached WHERE id <> p_user) END
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
