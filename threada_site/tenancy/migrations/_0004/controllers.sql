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
