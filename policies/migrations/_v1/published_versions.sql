-- A policy version moves draft → published → retired; a draft may be retired at once. Its document can be changed while it is a draft, and never again.
-- A published version ends only with its tenant, while the tenant is being deleted.
CREATE FUNCTION threada_keep_published_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status = 'draft' OR (current_user = 'threada_platform' AND EXISTS (
               SELECT FROM tenancy_deletedtenant d WHERE d.log_id = OLD.tenant_id AND d.ended_at IS NULL)) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'a % policy version cannot be deleted', OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.id, NEW.tenant_id, NEW.policy_id, NEW.number) IS DISTINCT FROM
       (OLD.id, OLD.tenant_id, OLD.policy_id, OLD.number) THEN
        RAISE EXCEPTION 'a policy version keeps its identity' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.status <> 'draft' AND (NEW.document, NEW.document_sha256) IS DISTINCT FROM
                                 (OLD.document, OLD.document_sha256) THEN
        RAISE EXCEPTION 'a % policy version never changes', OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (OLD.status, NEW.status) NOT IN (
        ('draft', 'draft'), ('draft', 'published'), ('draft', 'retired'), ('published', 'published'),
        ('published', 'retired'), ('retired', 'retired')
    ) THEN
        RAISE EXCEPTION 'a policy version does not move from % to %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER published_versions_never_change BEFORE UPDATE OR DELETE ON policies_policyversion
    FOR EACH ROW EXECUTE FUNCTION threada_keep_published_version();
