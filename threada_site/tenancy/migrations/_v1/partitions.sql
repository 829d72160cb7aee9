-- Tables partitioned by month. Ids are UUIDv7, so a month is a range of ids. The first partition (`…_initial`) contains ids
-- before the first month, each month has its own (`…_2026_12`), and the last one (`…_overflow`, normally empty) contains
-- ids after the last month. So no id is rejected. A DEFAULT partition would prevent ordered scans of the other partitions.

-- The smallest id of an instant (UTC).
CREATE FUNCTION threada_first_id(at timestamp) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- The instant (UTC) of an id.
CREATE FUNCTION threada_instant(id uuid) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
    SELECT to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0) AT TIME ZONE 'UTC'
$$;

-- The partitions of a table in the order of their ids; the first has no lower bound, the last no upper one.
CREATE FUNCTION threada_partitions(parent text)
RETURNS TABLE (name text, first_id uuid, end_id uuid) LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, substring(bound FROM 'FROM \(''([0-9a-f-]{36})''')::uuid,
           substring(bound FROM 'TO \(''([0-9a-f-]{36})''')::uuid
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound
     WHERE i.inhparent = format('%I', parent)::regclass
     ORDER BY 2 NULLS FIRST
$$;

-- Enable row-level security with the policies of every tenant table (threada_site/database/constraints.py).
CREATE FUNCTION threada_enable_rls(relation text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', relation);
    EXECUTE format(
        'CREATE POLICY tenant_rows ON %I '
        'USING (tenant_id = (SELECT NULLIF(current_setting(''app.tenant'', true), '''')::uuid)) '
        'WITH CHECK (tenant_id = (SELECT NULLIF(current_setting(''app.tenant'', true), '''')::uuid))', relation);
    EXECUTE format(
        'CREATE POLICY platform_rows ON %I TO threada_owner, threada_platform USING (true) WITH CHECK (true)', relation);
END
$$;

-- Create an empty partition with the row-level security and triggers of its parent; only the owner may access it by name.
CREATE FUNCTION threada_add_partition(parent text, suffix text, first_id uuid, end_id uuid)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := parent || '_' || suffix;
    parent_id regclass := format('%I', parent)::regclass;
    statement text;
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', part, parent,
                   coalesce(quote_literal(first_id), 'MINVALUE'), coalesce(quote_literal(end_id), 'MAXVALUE'));
    PERFORM threada_enable_rls(part);
    FOR statement IN SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t
                      WHERE t.tgrelid = parent_id AND NOT t.tgisinternal AND t.tgtype & 1 = 0
    LOOP  -- PostgreSQL itself copies row triggers only
        EXECUTE replace(statement, format(' ON public.%I ', parent), format(' ON public.%I ', part));
    END LOOP;
    EXECUTE format('REVOKE ALL ON %I FROM threada_app, threada_platform', part);
END
$$;

-- Lock a partitioned table for a change of its partitions: first the tables that it refers to, then the table itself, in the
-- order in which writers lock them. The first lock may wait for long. Once the table is locked, writers wait for this
-- transaction, so it gives up after 0.1 s, before PostgreSQL looks for a deadlock (deadlock_timeout, 1 s) and ends a writer.
CREATE FUNCTION threada_lock_partitioned(relation text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    target text;
BEGIN
    FOR target IN
        SELECT DISTINCT confrelid::regclass::text FROM pg_constraint
         WHERE conrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0 ORDER BY 1
    LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
    END LOOP;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', relation);
    PERFORM set_config('lock_timeout', '100ms', true);
END
$$;

-- Replace a new table, which has no rows and no references to it, by a partitioned one with the same columns and keys. The
-- first call of `threada_add_months` creates its partitions.
CREATE FUNCTION threada_partition_by_month(relation text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    plain text := relation || '_plain';
    keys text[] := ARRAY(
        SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', relation, conname, pg_get_constraintdef(oid))
          FROM pg_constraint WHERE conrelid = format('%I', relation)::regclass AND contype IN ('p', 'u') ORDER BY contype);
    has_rows boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', relation) INTO has_rows;
    IF has_rows THEN
        RAISE EXCEPTION 'the table % has rows: only an empty one can be partitioned', relation;
    END IF;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', relation, plain);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE '
                   'INCLUDING CONSTRAINTS) PARTITION BY RANGE (id)', relation, plain);
    EXECUTE format('DROP TABLE %I', plain);
    FOR i IN 1 .. cardinality(keys) LOOP
        EXECUTE keys[i];
    END LOOP;
END
$$;

-- Create partitions until `ahead` whole months follow the present one. Return how many were created. Each takes its range
-- from the overflow partition; while that one has rows, nothing is created. Locks the whole table for a moment, so the
-- caller sets a short lock_timeout and tries again.
CREATE FUNCTION threada_add_months(parent text, ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_overflow';
    present timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    until timestamp := present + make_interval(months => ahead);
    boundary uuid;
    ends_at timestamp;
    is_empty boolean;
    made integer := 0;
BEGIN
    SELECT first_id INTO boundary FROM threada_partitions(parent) WHERE name = part;
    IF threada_instant(boundary) > until THEN
        RETURN 0;
    END IF;
    PERFORM threada_lock_partitioned(parent);
    SELECT first_id INTO boundary FROM threada_partitions(parent) WHERE name = part;  -- as it is under the lock
    IF NOT FOUND THEN  -- a new table
        boundary := threada_first_id(present);
        PERFORM threada_add_partition(parent, 'initial', NULL, boundary);
        PERFORM threada_add_partition(parent, 'overflow', boundary, NULL);
    END IF;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part) INTO is_empty;
    IF NOT is_empty OR threada_instant(boundary) > until THEN
        RETURN 0;
    END IF;
    EXECUTE format('DROP TABLE %I', part);
    WHILE threada_instant(boundary) <= until LOOP
        ends_at := threada_instant(boundary) + interval '1 month';
        PERFORM threada_add_partition(parent, to_char(threada_instant(boundary), 'YYYY_MM'), boundary,
                                      threada_first_id(ends_at));
        boundary := threada_first_id(ends_at);
        made := made + 1;
    END LOOP;
    PERFORM threada_add_partition(parent, 'overflow', boundary, NULL);
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION threada_add_months(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION threada_add_months(text, integer) TO threada_platform;

-- Create the missing months and move the rows of the overflow partition into them. Rows after these months stay in it.
-- Return how many months were created. Run by the owner of the schema, by hand.
CREATE FUNCTION threada_move_overflow(parent text, ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    made integer;
BEGIN
    PERFORM threada_lock_partitioned(parent);
    EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', parent);
    EXECUTE format('CREATE TEMPORARY TABLE moved ON COMMIT DROP AS SELECT * FROM %I', parent || '_overflow');
    EXECUTE format('DELETE FROM %I', parent || '_overflow');
    made := threada_add_months(parent, ahead);
    PERFORM threada_copy_rows('moved', parent);
    SET CONSTRAINTS ALL IMMEDIATE;
    EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', parent);
    DROP TABLE moved;
    RETURN made;
END
$$;

-- Copy the rows of a table into another with the same columns, in any order.
CREATE FUNCTION threada_copy_rows(source text, target text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ') INTO names FROM pg_attribute
     WHERE attrelid = format('%I', target)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM %I', target, names, names, source);
END
$$;

-- Return the number of rows, at most `most`.
CREATE FUNCTION threada_count_to(relation text, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    counted integer;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I LIMIT %s) AS few', relation, most) INTO counted;
    RETURN counted;
END
$$;

-- Merge two neighbouring partitions of past months that together have at most `most` rows: their rows move to a new partition
-- in their place, and both are dropped. An empty partition without such a neighbour is replaced by a new one, which frees its
-- space. Each call does one of these, in a transaction of its own. Return what was done, or NULL if nothing is left to do.
-- Every id has a partition before and after. Locks the whole table for a moment, as `threada_add_months` does.
CREATE FUNCTION threada_drop_month(parent text, most integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    over uuid := threada_first_id(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month');
    earlier record;
    month record;
    parts text[];
    kept integer;
BEGIN
    SELECT NULL::text AS name, NULL::uuid AS first_id, NULL::integer AS held INTO earlier;
    FOR month IN SELECT p.*, threada_count_to(name, most + 1) AS held FROM threada_partitions(parent) p
                  WHERE end_id <= over ORDER BY first_id NULLS FIRST
    LOOP
        IF earlier.held + month.held <= most THEN
            parts := ARRAY[earlier.name, month.name];
            month.first_id := earlier.first_id;
        ELSIF month.held = 0 AND pg_total_relation_size(format('%I', month.name)) > 1048576 THEN
            parts := ARRAY[month.name];
        ELSE
            earlier := month;
            CONTINUE;
        END IF;
        PERFORM threada_lock_partitioned(parent);
        EXECUTE format('CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM %I WITH NO DATA', parent);
        FOR i IN 1 .. cardinality(parts) LOOP
            EXECUTE format('INSERT INTO kept SELECT * FROM %I', parts[i]);
            EXECUTE format('DROP TABLE %I', parts[i]);
        END LOOP;
        PERFORM threada_add_partition(parent, substr(parts[1], length(parent) + 2), month.first_id, month.end_id);
        PERFORM threada_copy_rows('kept', parent);
        SELECT count(*) INTO kept FROM pg_temp.kept;
        DROP TABLE pg_temp.kept;
        SET CONSTRAINTS ALL IMMEDIATE;
        RETURN format('dropped the months before %s; %s rows remain', threada_instant(month.end_id)::date, kept);
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION threada_drop_month(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION threada_drop_month(text, integer) TO threada_platform;
