-- Ids of the newest 200 work items that match a query, above and below the given ids, newest first. Tenant, visibility and
-- principal are those of the transaction; without them, nothing is found. NULL as query: all work items
-- between the ids, also those without a document.
--
-- Row-level security keeps PostgreSQL from using the index of words, so the function runs as the owner and limits the rows
-- itself. Its caller reads the work items again, under row-level security.
--
-- A word that many items contain is found among the newest 4,000. Only what is not is looked up in the index of words, whose
-- lexemes begin with a key of the tenant. Those of a principal's own items are limited by the lexeme of the principal.
--
-- Statistics of a growing table are old: they may claim that one principal has all rows, and the planner then reads the
-- items of all tenants. So ranges are compared as rows and sorting is off: only the index that has all columns of a
-- range, in order, serves it.
CREATE OR REPLACE FUNCTION threada_search(p_query tsquery, p_above uuid, p_below uuid) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET enable_sort = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    tenant CONSTANT uuid := NULLIF(current_setting('app.tenant', true), '')::uuid;
    principal CONSTANT uuid := NULLIF(current_setting('app.principal', true), '')::uuid;
    sees CONSTANT text := coalesce(current_setting('app.visibility', true), '');
    most CONSTANT integer := 200;
    newest CONSTANT integer := CASE WHEN p_query IS NULL THEN most ELSE 4000 END;
    own tsquery;
    found uuid[];
    looked_at uuid[];
BEGIN
    IF tenant IS NULL OR sees NOT IN ('tenant', 'own') OR (sees = 'own' AND principal IS NULL) THEN
        RETURN;
    END IF;
    IF sees = 'tenant' AND p_query IS NULL THEN
        found := ARRAY(
            SELECT w.id FROM workitems_workitem w
             WHERE (w.tenant_id, w.id) > (tenant, p_above) AND (w.tenant_id, w.id) < (tenant, p_below)
             ORDER BY w.tenant_id DESC, w.id DESC LIMIT most);
    ELSIF sees = 'tenant' THEN
        found := ARRAY(
            SELECT n.id FROM (
                SELECT d.id, d.words FROM workitems_searchdocument d
                 WHERE (d.tenant_id, d.id) > (tenant, p_above) AND (d.tenant_id, d.id) < (tenant, p_below)
                 ORDER BY d.tenant_id DESC, d.id DESC LIMIT newest) n
             WHERE n.words @@ p_query LIMIT most);
        IF cardinality(found) < most THEN
            found := ARRAY(
                WITH hits AS MATERIALIZED (
                    SELECT d.id, d.tenant_id FROM workitems_searchdocument d WHERE d.words @@ p_query)
                SELECT h.id FROM hits h
                 WHERE h.tenant_id = tenant AND h.id > p_above AND h.id < p_below ORDER BY h.id DESC LIMIT most);
        END IF;
    ELSE
        looked_at := ARRAY(
            SELECT id FROM (
                (SELECT w.id FROM workitems_workitem w
                  WHERE (w.tenant_id, w.requester_id, w.id) > (tenant, principal, p_above)
                    AND (w.tenant_id, w.requester_id, w.id) < (tenant, principal, p_below)
                  ORDER BY w.tenant_id DESC, w.requester_id DESC, w.id DESC LIMIT newest)
                UNION ALL
                (SELECT w.id FROM workitems_workitem w
                  WHERE (w.tenant_id, w.submitted_by_id, w.id) > (tenant, principal, p_above)
                    AND (w.tenant_id, w.submitted_by_id, w.id) < (tenant, principal, p_below)
                    AND w.submitted_by_id <> w.requester_id
                  ORDER BY w.tenant_id DESC, w.submitted_by_id DESC, w.id DESC LIMIT newest)
                UNION ALL
                (SELECT p.work_item_id FROM workitems_participant p
                  WHERE (p.tenant_id, p.principal_id, p.work_item_id) > (tenant, principal, p_above)
                    AND (p.tenant_id, p.principal_id, p.work_item_id) < (tenant, principal, p_below)
                  ORDER BY p.tenant_id DESC, p.principal_id DESC, p.work_item_id DESC LIMIT newest)) parties
             ORDER BY id DESC LIMIT newest);
        IF p_query IS NULL THEN
            RETURN QUERY SELECT unnest(looked_at);
            RETURN;
        END IF;
        found := ARRAY(
            SELECT d.id FROM workitems_searchdocument d
             WHERE d.id = ANY (looked_at) AND d.tenant_id = tenant AND d.words @@ p_query
             ORDER BY d.id DESC LIMIT most);
        IF cardinality(found) < most AND cardinality(looked_at) = newest THEN
            own := quote_literal(left(md5(tenant::text), 6) || '=' || principal::text)::tsquery && p_query;
            found := ARRAY(
                WITH hits AS MATERIALIZED (
                    SELECT d.id, d.tenant_id FROM workitems_searchdocument d WHERE d.words @@ own)
                SELECT id FROM (
                    SELECT h.id FROM hits h
                      JOIN workitems_workitem w ON w.id = h.id AND w.tenant_id = tenant
                     WHERE h.tenant_id = tenant AND h.id > p_above AND h.id < p_below
                       AND principal IN (w.requester_id, w.submitted_by_id)
                    UNION
                    SELECT unnest(found)) every
                 ORDER BY id DESC LIMIT most);
        END IF;
    END IF;
    RETURN QUERY SELECT unnest(found);
END
$$;
