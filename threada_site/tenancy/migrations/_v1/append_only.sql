-- Append-only tables: rows are inserted and read. Retention, which runs as threada_platform, may delete whole rows, and
-- may put the marker of an emptied content into the columns that the trigger names; every other column stays as it is.
CREATE OR REPLACE FUNCTION threada_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    named text[] := COALESCE(TG_ARGV[0:], '{}');
    before jsonb;
    after jsonb;
BEGIN
    IF TG_OP = 'DELETE' AND current_user = 'threada_platform' THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_NARGS > 0 AND current_user = 'threada_platform' THEN
        before := to_jsonb(OLD);
        after := to_jsonb(NEW);
        IF before <> after AND before - named = after - named AND NOT EXISTS (
            SELECT 1 FROM unnest(named) AS changed
             WHERE after -> changed IS DISTINCT FROM before -> changed
               AND after ->> changed !~ '^(threada:erased:|\\x746872656164613a6572617365643a|\{"threada:erased": "[a-z_]+"\}$)'
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'rows of % are append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
