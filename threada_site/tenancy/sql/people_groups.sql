-- Rights of a principal in a tenant, as in functions.sql, and one row for each group of people it is in there:
-- (NULL, 'people_group', the group's slug, NULL).
CREATE OR REPLACE FUNCTION threada_grants(p_user uuid, p_tenant uuid)
RETURNS TABLE (role_slug text, model text, object_id text, codename text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.slug::text, c.model::text, g.object_pk::text, p.codename::text
      FROM tenancy_role r
      JOIN tenancy_user_groups ug ON ug.group_id = r.group_id AND ug.user_id = p_user
      LEFT JOIN guardian_groupobjectpermission g ON g.group_id = r.group_id
      LEFT JOIN auth_permission p ON p.id = g.permission_id
      LEFT JOIN django_content_type c ON c.id = g.content_type_id
     WHERE r.tenant_id = p_tenant
    UNION ALL
    SELECT NULL, c.model::text, g.object_pk::text, p.codename::text
      FROM guardian_userobjectpermission g
      JOIN auth_permission p ON p.id = g.permission_id
      JOIN django_content_type c ON c.id = g.content_type_id
     WHERE g.user_id = p_user
       AND CASE WHEN c.model IN ('workflow', 'integration')
                THEN threada_belongs(c.app_label || '_' || c.model, g.object_pk, p_tenant)
                ELSE c.model = 'tenant' AND g.object_pk = p_tenant::text END
    UNION ALL
    SELECT NULL, 'people_group', g.slug::text, NULL
      FROM tenancy_membership m
      JOIN tenancy_peoplegroupmember i ON i.tenant_id = m.tenant_id AND i.membership_id = m.id
      JOIN tenancy_peoplegroup g ON g.tenant_id = i.tenant_id AND g.id = i.group_id
     WHERE m.user_id = p_user AND m.tenant_id = p_tenant
$$;
