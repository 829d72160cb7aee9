-- Ids of the newest 200 work items that match all terms, above and below the given ids, newest first. Tenant, visibility
-- and principal are those of the transaction; without them, nothing is found. Without terms: all work items between the
-- ids, also those without a document.
--
-- Row-level security keeps PostgreSQL from using the index of words, so the function runs as the owner and limits the rows
-- itself. Its caller reads the work items again, under row-level security.
--
-- A word that many items contain is found among the newest 4,000. Only what is not is looked up in the index of words, whose
-- lexemes begin with a key of the tenant. Those of a principal's own items are limited by the lexeme of the principal.
--
-- For the beginning of a word, the index reads the places of all words that begin so, however rare the other terms are.
-- So terms that more than a twentieth of the newest items contain are not looked up, if a rarer one is: the documents
-- that it finds are compared with all terms. Exclusions find nothing by themselves and are only compared.
--
-- Statistics of a growing table are old: they may claim that one principal has all rows, and the planner then reads the
-- items of all tenants. So ranges are compared as rows and sorting is off: only the index that has all columns of a
-- range, in order, serves it.
CREATE OR REPLACE FUNCTION threada_search(p_terms tsquery[], p_above uuid, p_below uuid) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET enable_sort = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    tenant CONSTANT uuid := NULLIF(current_setting('app.tenant', true), '')::uuid;
    principal CONSTANT uuid := NULLIF(current_setting('app.principal', true), '')::uuid;
    sees CONSTANT text := coalesce(current_setting('app.visibility', true), '');
    most CONSTANT integer := 200;
    newest CONSTANT integer := CASE WHEN coalesce(cardinality(p_terms), 0) = 0 THEN most ELSE 4000 END;
    sample CONSTANT integer := 500;
    common CONSTANT integer := 25;
    is_own CONSTANT boolean := sees = 'own';
    term tsquery;
    query tsquery;
    rare tsquery;
    found uuid[];
    looked_at uuid[];
BEGIN
    IF tenant IS NULL OR sees NOT IN ('tenant', 'own') OR (is_own AND principal IS NULL) THEN
        RETURN;
    END IF;
    FOREACH term IN ARRAY coalesce(p_terms, '{}') LOOP
        query := coalesce(query && term, term);
    END LOOP;
    IF NOT is_own AND query IS NULL THEN
        RETURN QUERY
            SELECT w.id FROM workitems_workitem w
             WHERE (w.tenant_id, w.id) > (tenant, p_above) AND (w.tenant_id, w.id) < (tenant, p_below)
             ORDER BY w.tenant_id DESC, w.id DESC LIMIT most;
        RETURN;
    ELSIF NOT is_own THEN
        found := ARRAY(
            SELECT n.id FROM (
                SELECT d.id, d.words FROM workitems_searchdocument d
                 WHERE (d.tenant_id, d.id) > (tenant, p_above) AND (d.tenant_id, d.id) < (tenant, p_below)
                 ORDER BY d.tenant_id DESC, d.id DESC LIMIT newest) n
             WHERE n.words @@ query LIMIT most);
        IF cardinality(found) = most THEN
            RETURN QUERY SELECT unnest(found);
            RETURN;
        END IF;
        looked_at := ARRAY(
            SELECT d.id FROM workitems_searchdocument d
             WHERE (d.tenant_id, d.id) > (tenant, p_above) AND (d.tenant_id, d.id) < (tenant, p_below)
             ORDER BY d.tenant_id DESC, d.id DESC LIMIT sample);
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
        IF query IS NULL THEN
            RETURN QUERY SELECT unnest(looked_at);
            RETURN;
        END IF;
        found := ARRAY(
            SELECT d.id FROM workitems_searchdocument d
             WHERE d.id = ANY (looked_at) AND d.tenant_id = tenant AND ts_match_vq(d.words, query)
             ORDER BY d.id DESC LIMIT most);
        IF cardinality(found) = most OR cardinality(looked_at) < newest THEN
            RETURN QUERY SELECT unnest(found);
            RETURN;
        END IF;
        looked_at := looked_at[1:sample];
    END IF;
    FOREACH term IN ARRAY p_terms LOOP
        IF querytree(term) <> 'T' AND common >= (
            SELECT count(*) FROM workitems_searchdocument d WHERE d.id = ANY (looked_at) AND ts_match_vq(d.words, term))
        THEN
            rare := coalesce(rare && term, term);
        END IF;
    END LOOP;
    rare := coalesce(rare, query);
    IF is_own THEN
        rare := quote_literal(left(md5(tenant::text), 6) || '=' || principal::text)::tsquery && rare;
    END IF;
    RETURN QUERY
        WITH hits AS MATERIALIZED (
            SELECT d.id, d.tenant_id FROM workitems_searchdocument d
             WHERE d.words @@ rare AND ts_match_vq(d.words, query))
        SELECT every.id FROM (
            SELECT h.id FROM hits h
             WHERE h.tenant_id = tenant AND h.id > p_above AND h.id < p_below
               AND (NOT is_own OR EXISTS (
                    SELECT FROM workitems_workitem w
                     WHERE w.id = h.id AND w.tenant_id = tenant AND principal IN (w.requester_id, w.submitted_by_id)))
            UNION
            SELECT unnest(found)) every
         ORDER BY every.id DESC LIMIT most;
END
$$;
