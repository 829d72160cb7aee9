-- Locks an idempotency key until the transaction ends, unless another request has it, and returns the first response under
-- it. Two queries: only one that starts after the lock was acquired sees what the previous holder has committed.
CREATE FUNCTION threada_reserve_key(p_tenant uuid, p_principal uuid, p_path text, p_key text)
RETURNS TABLE (is_reserved boolean, id uuid, body_sha256 text, status smallint, headers jsonb, response bytea,
               expires_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    is_reserved := pg_try_advisory_xact_lock(
        hashtextextended(format('%s:%s:%s:%s', p_tenant, p_principal, p_path, p_key), 0));
    IF is_reserved THEN
        SELECT r.id, r.body_sha256, r.status, r.headers, r.response, r.expires_at
          INTO id, body_sha256, status, headers, response, expires_at
          FROM api_idempotencyrecord r
         WHERE r.tenant_id = p_tenant AND r.principal_id = p_principal AND r.path = p_path AND r.key = p_key;
    END IF;
    RETURN NEXT;
END
$$;
