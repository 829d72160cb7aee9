-- What only one execution at a time may have, where no unique index reaches over all months: a work item's open execution,
-- and the taking back of an execution. A slot's id is that of the work item, or of the execution taken back; its primary
-- key refuses the second. Triggers keep slots as executions open and end, whoever writes them.

-- The slots of an execution: while it is open, its item's and that of what it takes back; this one it keeps when it has
-- succeeded.
CREATE OR REPLACE FUNCTION threada_slots(status text, work_item_id uuid, undoes_id uuid) RETURNS uuid[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(ARRAY[
        CASE WHEN status IN ('awaiting_approval', 'started', 'running', 'outcome_unknown') THEN work_item_id END,
        CASE WHEN status IN ('awaiting_approval', 'started', 'running', 'outcome_unknown', 'succeeded') THEN undoes_id END
    ], NULL)
$$;

CREATE OR REPLACE FUNCTION threada_keep_slots() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held uuid[] := '{}';
    due uuid[] := threada_slots(NEW.status, NEW.work_item_id, NEW.undoes_id);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        held := threada_slots(OLD.status, OLD.work_item_id, OLD.undoes_id);
        DELETE FROM integrations_executionslot s
         WHERE s.tenant_id = OLD.tenant_id AND s.id = ANY (held) AND s.id <> ALL (due);
    END IF;
    INSERT INTO integrations_executionslot (id, tenant_id, execution_id)
    SELECT slot, NEW.tenant_id, NEW.id FROM unnest(due) AS slot WHERE slot <> ALL (held);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER slots AFTER INSERT ON integrations_execution FOR EACH ROW
    WHEN (NEW.status IN ('awaiting_approval', 'started', 'running', 'outcome_unknown') OR NEW.undoes_id IS NOT NULL)
    EXECUTE FUNCTION threada_keep_slots();
CREATE OR REPLACE TRIGGER slots_again AFTER UPDATE OF status ON integrations_execution FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION threada_keep_slots();
