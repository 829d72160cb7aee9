-- Tables by month. Ids are UUIDv7, so a month is a range of ids: of a row's own, or of the row that it belongs to and lies
-- beside. Every table has one partition for what lies before its first month (`…_before`), one for each month
-- (`…_2026_12`), and one for what lies behind the last (`…_later`, which ought to be empty): no id is refused, and there is
-- no DEFAULT partition, which would take the order of the others away from lists.

-- The smallest id of an instant (UTC).
CREATE OR REPLACE FUNCTION threada_first_id(at timestamp) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- The instant (UTC) of an id.
CREATE OR REPLACE FUNCTION threada_instant(id uuid) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
    SELECT to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0) AT TIME ZONE 'UTC'
$$;

-- The partitions of a table in the order of their ids; the first has no lower bound, the last no upper one.
CREATE OR REPLACE FUNCTION threada_partitions(parent text)
RETURNS TABLE (name text, first_id uuid, end_id uuid) LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, substring(bound FROM 'FROM \(''([0-9a-f-]{36})''')::uuid,
           substring(bound FROM 'TO \(''([0-9a-f-]{36})''')::uuid
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound
     WHERE i.inhparent = format('%I', parent)::regclass
     ORDER BY 2 NULLS FIRST
$$;

-- The column whose ids say in which month a row lies.
CREATE OR REPLACE FUNCTION threada_month_key(parent text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT a.attname::text FROM pg_partitioned_table p
      JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
     WHERE p.partrelid = format('%I', parent)::regclass
$$;

-- Enable row-level security with the policies of every tenant table (threada_site/database/constraints.py).
CREATE OR REPLACE FUNCTION threada_enable_rls(relation text) RETURNS void LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE FUNCTION threada_add_partition(parent text, suffix text, first_id uuid, end_id uuid)
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
    LOOP  -- those of whole statements are not handed on by PostgreSQL itself
        EXECUTE replace(statement, format(' ON public.%I ', parent), format(' ON public.%I ', part));
    END LOOP;
    EXECUTE format('REVOKE ALL ON %I FROM threada_app, threada_platform', part);
END
$$;

-- Take a table for oneself: first what it refers to, then itself, then what refers to it, as those who write go about it.
-- It may wait long for the first that nobody else may have meanwhile. From then on others wait for this transaction, so it
-- gives up after a tenth of a second, long before PostgreSQL (deadlock_timeout, a second) would end one of those for its sake.
CREATE OR REPLACE FUNCTION threada_lock_around(relation text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT DISTINCT place, name::text AS name, lock_mode FROM (
            SELECT 1 AS place, confrelid::regclass AS name,
                   CASE c.relkind WHEN 'p' THEN 'ACCESS EXCLUSIVE' ELSE 'SHARE ROW EXCLUSIVE' END AS lock_mode
              FROM pg_constraint JOIN pg_class c ON c.oid = confrelid
             WHERE conrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0
            UNION ALL SELECT 2, format('%I', relation)::regclass, 'ACCESS EXCLUSIVE'
            UNION ALL SELECT 3, conrelid::regclass, 'ACCESS EXCLUSIVE' FROM pg_constraint
             WHERE confrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0) AS around
         ORDER BY place, lock_mode DESC, name
    LOOP
        EXECUTE format('LOCK TABLE %s IN %s MODE', entry.name, entry.lock_mode);
        IF entry.lock_mode = 'ACCESS EXCLUSIVE' THEN
            PERFORM set_config('lock_timeout', '100ms', true);
        END IF;
    END LOOP;
END
$$;

-- Take away the references to a table; the statements that make them again.
CREATE OR REPLACE FUNCTION threada_take_references(relation text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    again text[] := '{}';
    entry record;
BEGIN
    FOR entry IN SELECT conname, conrelid::regclass AS child, pg_get_constraintdef(oid) AS definition FROM pg_constraint
                  WHERE confrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', entry.child, entry.conname);
        again := again || format('ALTER TABLE %s ADD CONSTRAINT %I %s', entry.child, entry.conname,
                                 regexp_replace(entry.definition, ' NOT VALID$', ''));
    END LOOP;
    RETURN again;
END
$$;

-- Make a plain table one by month of the ids in `key`, with all that it holds as its first partition. Its rows are neither
-- copied nor read: the check `<table>_before` (key below the first of a month) was validated before, or the table is
-- empty. Whoever writes meanwhile waits until the end of the transaction. References to the table come back as NOT VALID.
CREATE OR REPLACE FUNCTION threada_partition_by_month(relation text, ahead integer, key text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    old regclass := format('%I', relation)::regclass;
    part text := relation || '_before';
    has_check boolean;
    boundary uuid;
    is_empty boolean;
    makes text[];
    guards text[];
    refers text[];
    late text[];
    entry record;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = old) = 'p' THEN
        RETURN;
    END IF;
    PERFORM threada_lock_around(relation);
    SELECT substring(pg_get_constraintdef(oid) FROM '([0-9a-f-]{36})')::uuid INTO boundary
      FROM pg_constraint WHERE conrelid = old AND conname = part AND convalidated;
    has_check := FOUND;
    IF NOT has_check THEN
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', relation) INTO is_empty;
        IF NOT is_empty THEN
            RAISE EXCEPTION 'the check % is missing: it bounds the rows that are there', part;
        END IF;
        boundary := threada_first_id(date_trunc('month', now() AT TIME ZONE 'UTC'));
    END IF;

    -- References to other partitioned tables get a name that sorts last until the old table is attached: it takes them
    -- over in the order of their names, and these lose their parts, after which PostgreSQL 18.6 finds no other any more.
    late := ARRAY(SELECT conname FROM pg_constraint JOIN pg_class c ON c.oid = confrelid
                   WHERE conrelid = old AND contype = 'f' AND conparentid = 0 AND c.relkind = 'p');
    makes := ARRAY(SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', relation,
                                 CASE WHEN conname = ANY (late) THEN 'zz_' || conname ELSE conname END,
                                 pg_get_constraintdef(oid))
                     FROM pg_constraint WHERE conrelid = old AND contype = 'f' AND conparentid = 0 ORDER BY conname);
    guards := ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = old AND NOT tgisinternal ORDER BY oid);
    refers := threada_take_references(relation);
    FOR entry IN SELECT tgname FROM pg_trigger WHERE tgrelid = old AND NOT tgisinternal AND tgtype & 1 = 1 LOOP
        EXECUTE format('DROP TRIGGER %I ON %I', entry.tgname, relation);
    END LOOP;
    FOR entry IN SELECT indexrelid::regclass AS name, c.relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid
                WHERE indrelid = old
    LOOP
        EXECUTE format('ALTER INDEX %s RENAME TO %I', entry.name, entry.relname || '_before');
    END LOOP;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', relation, part);

    -- LIKE copies conditions of indexes as they are; written out and read again, some would not be equal any more, and
    -- the old table would get its indexes twice.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE '
                   'INCLUDING CONSTRAINTS INCLUDING INDEXES) PARTITION BY RANGE (%I)', relation, part, key);
    IF has_check THEN
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', relation, part);
    END IF;
    FOR i IN 1 .. cardinality(makes) LOOP
        EXECUTE makes[i];
    END LOOP;
    PERFORM threada_enable_rls(relation);
    FOR i IN 1 .. cardinality(guards) LOOP
        EXECUTE guards[i];
    END LOOP;
    FOR entry IN SELECT pg_get_userbyid(grantee) AS grantee, privilege_type FROM pg_class, aclexplode(relacl)
                WHERE oid = old AND grantee <> 0 AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', entry.privilege_type, relation, entry.grantee);
        EXECUTE format('REVOKE %s ON %I FROM %I', entry.privilege_type, part, entry.grantee);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', relation, part, boundary);
    FOR entry IN SELECT p.relname, left(c.relname, -7) AS name FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                   JOIN pg_class p ON p.oid = inhparent JOIN pg_index i ON i.indexrelid = c.oid
                  WHERE i.indrelid = old AND p.relname <> left(c.relname, -7)
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', entry.relname, entry.name);
    END LOOP;
    FOR i IN 1 .. cardinality(late) LOOP
        EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', relation, 'zz_' || late[i], late[i]);
    END LOOP;
    IF has_check THEN
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', part, part);
    END IF;
    PERFORM threada_add_partition(relation, 'later', boundary, NULL);
    PERFORM threada_add_months(relation, ahead);
    FOR i IN 1 .. cardinality(refers) LOOP
        EXECUTE refers[i] || ' NOT VALID';
    END LOOP;
END
$$;

-- Whether other tables refer to this one.
CREATE OR REPLACE FUNCTION threada_is_referred(relation text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_constraint
                    WHERE confrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0)
$$;

-- Drop a partition with what it holds. One to which others may refer has to be detached first, which fails when they do, and
-- which takes the tables that it refers to for a moment; so only then.
CREATE OR REPLACE FUNCTION threada_drop_partition(parent text, part text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF threada_is_referred(parent) THEN
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
    END IF;
    EXECUTE format('DROP TABLE %I', part);
END
$$;

-- Make months until there are `ahead` whole ones behind the present one; how many were made. Each takes its range off
-- the last partition, which must be empty for it: one that is not, is left alone, and nothing is made.
-- Takes the whole table for a moment; whoever calls it sets a short lock_timeout and tries again.
CREATE OR REPLACE FUNCTION threada_add_months(parent text, ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_later';
    boundary uuid;
    ends_at timestamp;
    until timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
    is_empty boolean;
    made integer := 0;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = format('%I', parent)::regclass) <> 'p' THEN
        RETURN 0;
    END IF;
    SELECT first_id INTO STRICT boundary FROM threada_partitions(parent) WHERE name = part;
    IF threada_instant(boundary) > until THEN
        RETURN 0;
    END IF;
    PERFORM threada_lock_around(parent);
    SELECT first_id INTO STRICT boundary FROM threada_partitions(parent) WHERE name = part;  -- as it is under the lock
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part) INTO is_empty;
    IF NOT is_empty OR threada_instant(boundary) > until THEN
        RETURN 0;
    END IF;
    PERFORM threada_drop_partition(parent, part);
    WHILE threada_instant(boundary) <= until LOOP
        ends_at := threada_instant(boundary) + interval '1 month';
        PERFORM threada_add_partition(parent, to_char(threada_instant(boundary), 'YYYY_MM'), boundary,
                                      threada_first_id(ends_at));
        boundary := threada_first_id(ends_at);
        made := made + 1;
    END LOOP;
    PERFORM threada_add_partition(parent, 'later', boundary, NULL);
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION threada_add_months(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION threada_add_months(text, integer) TO threada_platform;

-- For the owner's hands, when rows lie behind the last month: make the months that are missing and put the rows into them.
-- What lies behind these as well stays there. How many months were made.
CREATE OR REPLACE FUNCTION threada_move_late(parent text, ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    made integer;
    refers text[];
BEGIN
    PERFORM threada_lock_around(parent);
    refers := threada_take_references(parent);
    EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', parent);
    EXECUTE format('CREATE TEMPORARY TABLE late ON COMMIT DROP AS SELECT * FROM %I', parent || '_later');
    EXECUTE format('DELETE FROM %I', parent || '_later');
    made := threada_add_months(parent, ahead);
    PERFORM threada_copy_rows('late', parent);
    SET CONSTRAINTS ALL IMMEDIATE;
    EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', parent);
    DROP TABLE late;
    FOR i IN 1 .. cardinality(refers) LOOP
        EXECUTE refers[i];
    END LOOP;
    RETURN made;
END
$$;

-- Put the rows of one table into another with the same columns, in whatever order they stand.
CREATE OR REPLACE FUNCTION threada_copy_rows(source text, target text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ') INTO names FROM pg_attribute
     WHERE attrelid = format('%I', target)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM %I', target, names, names, source);
END
$$;

-- How many rows there are, counted no further than `most`.
CREATE OR REPLACE FUNCTION threada_count_to(relation text, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    counted integer;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I LIMIT %s) AS few', relation, most) INTO counted;
    RETURN counted;
END
$$;

-- Put two neighbours that are over, and of which retention has left nothing or next to nothing, into one: what they hold, up
-- to `most` rows together, goes to a new partition in their place, and they are dropped whole. Rows of a table to which others
-- refer stay where they are: there only empty ones go; an empty one without such a neighbour is made anew, which frees its
-- space. Each call does one, in a transaction of its own: what it has done, or NULL when nothing is left to do. Every id has
-- a place afterwards as before. Takes the whole table for a moment, as `threada_add_months` does.
CREATE OR REPLACE FUNCTION threada_drop_month(parent text, most integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    over uuid := threada_first_id(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month');
    may_move integer := CASE WHEN threada_is_referred(parent) THEN 0 ELSE most END;
    earlier record;
    month record;
    parts text[];
    kept integer;
BEGIN
    SELECT NULL::text AS name, NULL::uuid AS first_id, NULL::integer AS held INTO earlier;
    FOR month IN SELECT p.*, threada_count_to(name, may_move + 1) AS held FROM threada_partitions(parent) p
                  WHERE end_id <= over ORDER BY first_id NULLS FIRST
    LOOP
        IF earlier.held + month.held <= may_move THEN
            parts := ARRAY[earlier.name, month.name];
            month.first_id := earlier.first_id;
        ELSIF month.held = 0 AND pg_total_relation_size(format('%I', month.name)) > 1048576 THEN
            parts := ARRAY[month.name];
        ELSE
            earlier := month;
            CONTINUE;
        END IF;
        PERFORM threada_lock_around(parent);
        EXECUTE format('CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM %I WITH NO DATA', parent);
        FOR i IN 1 .. cardinality(parts) LOOP
            EXECUTE format('INSERT INTO kept SELECT * FROM %I', parts[i]);
            PERFORM threada_drop_partition(parent, parts[i]);
        END LOOP;
        PERFORM threada_add_partition(parent, substr(parts[1], length(parent) + 2), month.first_id, month.end_id);
        PERFORM threada_copy_rows('kept', parent);
        SELECT count(*) INTO kept FROM pg_temp.kept;
        DROP TABLE pg_temp.kept;
        SET CONSTRAINTS ALL IMMEDIATE;
        RETURN format('dropped what lay before %s, but for %s rows', threada_instant(month.end_id)::date, kept);
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION threada_drop_month(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION threada_drop_month(text, integer) TO threada_platform;

-- Back to a plain table: the first partition takes the rows of all others. Nobody writes meanwhile.
CREATE OR REPLACE FUNCTION threada_join_months(relation text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent regclass := format('%I', relation)::regclass;
    part text := relation || '_before';
    renames text[];
    guards text[];
    refers text[];
    entry record;
BEGIN
    PERFORM threada_lock_around(relation);
    guards := ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger
                     WHERE tgrelid = parent AND NOT tgisinternal AND tgtype & 1 = 1);
    refers := threada_take_references(relation);
    renames := ARRAY(SELECT format('ALTER INDEX %I RENAME TO %I', c.relname, p.relname) FROM pg_inherits
                       JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent
                       JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indrelid = format('%I', part)::regclass);
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', relation, part);
    PERFORM threada_copy_rows(relation, part);
    FOR entry IN SELECT pg_get_userbyid(grantee) AS grantee, privilege_type FROM pg_class, aclexplode(relacl)
                  WHERE oid = parent AND grantee <> 0 AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', entry.privilege_type, part, entry.grantee);
    END LOOP;
    EXECUTE format('DROP TABLE %I', relation);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', part, relation);
    FOR i IN 1 .. cardinality(renames) LOOP
        EXECUTE renames[i];
    END LOOP;
    FOR i IN 1 .. coalesce(cardinality(guards), 0) LOOP
        EXECUTE guards[i];
    END LOOP;
    FOR i IN 1 .. cardinality(refers) LOOP
        EXECUTE refers[i];
    END LOOP;
END
$$;
