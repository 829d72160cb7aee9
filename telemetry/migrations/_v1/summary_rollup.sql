-- A trigger updates the daily sums in the statement that changes a count, for all writers, also older releases during
-- an upgrade. Sums are written in key order to prevent deadlocks.

CREATE FUNCTION threada_roll_up_counts() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    EXECUTE format($$
        INSERT INTO telemetry_summaryrollup AS held (id, tenant_id, dimension, key, day, measure, label, count)
        SELECT gen_random_uuid(), sums.*
          FROM (SELECT change.tenant_id, rolled.dimension, rolled.key, change.day, change.measure, change.label,
                       sum(change.sign * change.count)::bigint
                  FROM (%s) AS change
                 CROSS JOIN LATERAL (VALUES
                       ('', ''),
                       ('workflow', change.workflow),
                       ('channel', change.channel),
                       ('integration', change.integration),
                       ('policy_version', coalesce(change.policy_version_id::text, ''))) AS rolled (dimension, key)
                 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6) AS sums
            ON CONFLICT (tenant_id, dimension, day, key, measure, label)
            DO UPDATE SET count = held.count + excluded.count
        $$,
        CASE TG_OP
            WHEN 'INSERT' THEN 'SELECT *, 1 AS sign FROM new_rows'
            WHEN 'DELETE' THEN 'SELECT *, -1 AS sign FROM old_rows'
            ELSE 'SELECT *, 1 AS sign FROM new_rows UNION ALL SELECT *, -1 AS sign FROM old_rows'
        END);
    RETURN NULL;
END $function$;

CREATE TRIGGER roll_up_added AFTER INSERT ON telemetry_summarycount
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION threada_roll_up_counts();
CREATE TRIGGER roll_up_changed AFTER UPDATE ON telemetry_summarycount
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION threada_roll_up_counts();
CREATE TRIGGER roll_up_removed AFTER DELETE ON telemetry_summarycount
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION threada_roll_up_counts();
