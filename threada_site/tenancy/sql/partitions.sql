-- Tables by month: PARTITION BY RANGE (id). Ids are UUIDv7, so a month is a range of ids. Every table has one partition
-- for what lies before its first month (`…_before`), one for each month (`…_2026_12`), and one for what lies behind the
-- last (`…_later`, which ought to be empty): no id is refused, and there is no DEFAULT partition, which would take the
-- order of the others away from lists.

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

-- Row-level security as every tenant table has it (tenancy/constraints.py).
CREATE OR REPLACE FUNCTION threada_seclude(relation text) RETURNS void LANGUAGE plpgsql AS $$
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

-- A new, empty partition: as secluded as its parent, and nobody's to name but the owner's.
CREATE OR REPLACE FUNCTION threada_add_partition(parent text, suffix text, first_id uuid, end_id uuid)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := parent || '_' || suffix;
    parent_id regclass := format('%I', parent)::regclass;
    statement text;
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)', part, parent,
                   coalesce(quote_literal(first_id), 'MINVALUE'), coalesce(quote_literal(end_id), 'MAXVALUE'));
    PERFORM threada_seclude(part);
    FOR statement IN SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t
                      WHERE t.tgrelid = parent_id AND NOT t.tgisinternal AND t.tgtype & 1 = 0
    LOOP  -- those of whole statements are not handed on by PostgreSQL itself
        EXECUTE replace(statement, format(' ON public.%I ', parent), format(' ON public.%I ', part));
    END LOOP;
    EXECUTE format('REVOKE ALL ON %I FROM threada_app, threada_platform', part);
END
$$;

-- Take a table for oneself: first what it refers to, then itself, then what refers to it, as those who write go about it.
CREATE OR REPLACE FUNCTION threada_lock_around(relation text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    other regclass;
BEGIN
    FOR other IN SELECT DISTINCT confrelid::regclass FROM pg_constraint
                  WHERE conrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0
    LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', other);
    END LOOP;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', relation);
    FOR other IN SELECT DISTINCT conrelid::regclass FROM pg_constraint
                  WHERE confrelid = format('%I', relation)::regclass AND contype = 'f' AND conparentid = 0
    LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', other);
    END LOOP;
END
$$;

-- Make a plain table one by month, with all that it holds as its first partition. Its rows are neither copied nor read:
-- the check `<table>_before` (id below the first of a month) was validated before, or the table is empty. Whoever
-- writes meanwhile waits until the end of the transaction. References to the table come back as NOT VALID.
CREATE OR REPLACE FUNCTION threada_partition_by_month(relation text, ahead integer) RETURNS void LANGUAGE plpgsql AS $$
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
    FOR entry IN SELECT conname, conrelid::regclass AS child, pg_get_constraintdef(oid) AS definition
                 FROM pg_constraint WHERE confrelid = old AND contype = 'f' AND conparentid = 0
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', entry.child, entry.conname);
        refers := refers || format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', entry.child, entry.conname,
                                   regexp_replace(entry.definition, ' NOT VALID$', ''));
    END LOOP;
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
                   'INCLUDING CONSTRAINTS INCLUDING INDEXES) PARTITION BY RANGE (id)', relation, part);
    IF has_check THEN
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', relation, part);
    END IF;
    FOR i IN 1 .. cardinality(makes) LOOP
        EXECUTE makes[i];
    END LOOP;
    PERFORM threada_seclude(relation);
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
    FOR i IN 1 .. coalesce(cardinality(refers), 0) LOOP
        EXECUTE refers[i];
    END LOOP;
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
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
    EXECUTE format('DROP TABLE %I', part);
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
BEGIN
    PERFORM threada_lock_around(parent);
    EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', parent);
    EXECUTE format('CREATE TEMPORARY TABLE late ON COMMIT DROP AS SELECT * FROM %I', parent || '_later');
    EXECUTE format('DELETE FROM %I', parent || '_later');
    made := threada_add_months(parent, ahead);
    EXECUTE format('INSERT INTO %I SELECT * FROM late', parent);
    SET CONSTRAINTS ALL IMMEDIATE;
    EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', parent);
    DROP TABLE late;
    RETURN made;
END
$$;

-- Back to a plain table: the first partition takes the rows of all others. Nobody writes meanwhile.
CREATE OR REPLACE FUNCTION threada_join_months(relation text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent regclass := format('%I', relation)::regclass;
    part text := relation || '_before';
    names text;
    renames text[];
    guards text[];
    refers text[];
    entry record;
BEGIN
    PERFORM threada_lock_around(relation);
    guards := ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger
                     WHERE tgrelid = parent AND NOT tgisinternal AND tgtype & 1 = 1);
    FOR entry IN SELECT conname, conrelid::regclass AS child, pg_get_constraintdef(oid) AS definition
                   FROM pg_constraint WHERE confrelid = parent AND contype = 'f' AND conparentid = 0
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', entry.child, entry.conname);
        refers := refers || format('ALTER TABLE %s ADD CONSTRAINT %I %s', entry.child, entry.conname, entry.definition);
    END LOOP;
    renames := ARRAY(SELECT format('ALTER INDEX %I RENAME TO %I', c.relname, p.relname) FROM pg_inherits
                       JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent
                       JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indrelid = format('%I', part)::regclass);
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', relation, part);
    SELECT string_agg(quote_ident(attname), ', ') INTO names FROM pg_attribute
     WHERE attrelid = parent AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM %I', part, names, names, relation);
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
    FOR i IN 1 .. coalesce(cardinality(refers), 0) LOOP
        EXECUTE refers[i];
    END LOOP;
END
$$;
