-- Statuses of work items, executions and decision steps that requests wait for, given by kind, id and tenant. NULL: there is
-- no such row. The web process asks for rows of all tenants by one statement, so the function runs as the owner. Who may
-- read a row was checked before the wait, and is checked again when the answer is made.
CREATE OR REPLACE FUNCTION threada_statuses(p_kinds text[], p_ids uuid[], p_tenants uuid[])
RETURNS TABLE (id uuid, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT asked.id, coalesce(w.status, e.status, s.status)
      FROM unnest(p_kinds, p_ids, p_tenants) AS asked (kind, id, tenant)
      LEFT JOIN workitems_workitem w ON asked.kind = 'work_item' AND w.id = asked.id AND w.tenant_id = asked.tenant
      LEFT JOIN integrations_execution e ON asked.kind = 'execution' AND e.id = asked.id AND e.tenant_id = asked.tenant
      LEFT JOIN workitems_decisionstep s
             ON asked.kind = 'decision_step' AND s.id = asked.id AND s.tenant_id = asked.tenant
$$;
