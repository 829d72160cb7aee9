-- Append-only tables: rows are inserted and read. Retention, which runs as threada_platform, may delete whole rows.
CREATE OR REPLACE FUNCTION threada_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_user = 'threada_platform' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'rows of % are append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
