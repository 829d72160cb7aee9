-- Those of the given labels that resemble a label of an earlier work item of the transaction's tenant: the same skeleton of
-- another value (see `workitems.items.lookalikes`). The function runs as the owner, because a requester who reads only
-- own cases would otherwise imitate the counterparties of others without a mark. It tells nothing else about them.
CREATE OR REPLACE FUNCTION threada_lookalikes(p_labels uuid[], p_before uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT mine.label
      FROM unnest(p_labels) AS mine(label)
     WHERE mine.label::text LIKE 'ffffffff-%'
       AND (EXISTS (
               SELECT FROM workitems_itemlabel other
                WHERE other.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid
                  AND other.label >= (left(mine.label::text, 24) || '000000000000')::uuid
                  AND other.label < mine.label AND other.work_item_id < p_before)
         OR EXISTS (
               SELECT FROM workitems_itemlabel other
                WHERE other.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid
                  AND other.label > mine.label
                  AND other.label <= (left(mine.label::text, 24) || 'ffffffffffff')::uuid
                  AND other.work_item_id < p_before))
$$;
