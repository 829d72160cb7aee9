-- Principals of each work item: its requester, its submitter if that is another principal, and those it names otherwise.
-- The three parts have no row in common, so that lists of one principal are a union of three index scans in the order of
-- ids. Row-level security applies to the caller.
CREATE VIEW workitems_party WITH (security_invoker = true) AS
    SELECT id AS work_item_id, tenant_id, requester_id AS principal_id
      FROM workitems_workitem
    UNION ALL
    SELECT id, tenant_id, submitted_by_id
      FROM workitems_workitem
     WHERE submitted_by_id <> requester_id
    UNION ALL
    SELECT work_item_id, tenant_id, principal_id
      FROM workitems_participant;
