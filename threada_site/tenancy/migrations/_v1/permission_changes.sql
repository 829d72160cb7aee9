-- Transactions that changed permissions in a tenant. A web process keeps the permissions of a credential for at most a
-- second, and `threada_enter` tells it whether such a transaction committed since. Rows are only inserted, so that writers
-- never wait for each other. Only the owner's functions access the table.
CREATE TABLE tenancy_permissionchange (
    tenant uuid NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, transaction)
);
ALTER TABLE tenancy_permissionchange ENABLE ROW LEVEL SECURITY;

-- Note that a row changes permissions, and remove notes that no process can need any more. The argument of the trigger
-- says how the tenants are found: `tenant` by `tenant_id`, `group` by the role of `group_id`, `user` by memberships.
CREATE OR REPLACE FUNCTION threada_note_permission_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed jsonb[] := array_remove(ARRAY[to_jsonb(OLD), to_jsonb(NEW)], NULL);
    tenants uuid[];
BEGIN
    tenants := CASE TG_ARGV[0]
        WHEN 'tenant' THEN ARRAY(SELECT (r ->> 'tenant_id')::uuid FROM unnest(changed) r)
        WHEN 'group' THEN ARRAY(SELECT o.tenant_id FROM tenancy_role o
                                  JOIN unnest(changed) r ON o.group_id = (r ->> 'group_id')::integer)
        WHEN 'user' THEN ARRAY(SELECT m.tenant_id FROM tenancy_membership m
                                 JOIN unnest(changed) r ON m.user_id = (r ->> 'user_id')::uuid)
    END;
    INSERT INTO tenancy_permissionchange (tenant) SELECT DISTINCT unnest(tenants) ON CONFLICT DO NOTHING;
    DELETE FROM tenancy_permissionchange WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tenancy_permissionchange
         WHERE tenant = ANY (tenants) AND changed_at < now() - interval '1 hour' FOR UPDATE SKIP LOCKED));
    RETURN NULL;
END
$$;

-- Remove the notes of a deleted tenant.
CREATE OR REPLACE FUNCTION threada_forget_permission_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM tenancy_permissionchange WHERE tenant = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER permission_change AFTER DELETE ON tenancy_tenant
   FOR EACH ROW EXECUTE FUNCTION threada_forget_permission_changes();
CREATE TRIGGER permission_change AFTER INSERT OR UPDATE OR DELETE ON tenancy_role
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('tenant');
CREATE TRIGGER permission_change AFTER INSERT OR UPDATE OR DELETE ON tenancy_peoplegroup
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('tenant');
CREATE TRIGGER permission_change AFTER INSERT OR UPDATE OR DELETE ON tenancy_peoplegroupmember
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('tenant');
CREATE TRIGGER permission_change AFTER INSERT OR DELETE ON tenancy_membership
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('tenant');
CREATE TRIGGER permission_change AFTER UPDATE OF roles, scopes ON tenancy_credential
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('tenant');
CREATE TRIGGER permission_change AFTER INSERT OR UPDATE OR DELETE ON tenancy_user_groups
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('group');
CREATE TRIGGER permission_change AFTER INSERT OR UPDATE OR DELETE ON guardian_groupobjectpermission
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('group');
CREATE TRIGGER permission_change AFTER INSERT OR UPDATE OR DELETE ON guardian_userobjectpermission
   FOR EACH ROW EXECUTE FUNCTION threada_note_permission_change('user');
