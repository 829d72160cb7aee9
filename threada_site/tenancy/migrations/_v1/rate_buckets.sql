-- Buckets of rate limits, shared by all processes. They are not worth a write-ahead log: after a crash all are full.
ALTER TABLE tenancy_ratebucket SET UNLOGGED;
ALTER TABLE tenancy_ratebucket SET (fillfactor = 50);
ALTER TABLE tenancy_raterefusals SET UNLOGGED;

-- Refill buckets and lease up to `p_wanted` whole tokens of each, by the clock of the database. Return one row per key, in
-- the order of the arguments. A bucket that is not stored is full. Add refused requests to their kinds.
CREATE OR REPLACE FUNCTION threada_lease_tokens(
    p_keys text[], p_rates double precision[], p_bursts double precision[], p_wanted double precision[],
    p_kinds text[], p_refused bigint[])
RETURNS TABLE (granted double precision, remaining double precision)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked record;
    bucket record;
    moment timestamptz;
    level double precision;
    taken double precision[] := array_fill(0::double precision, ARRAY[cardinality(p_keys)]);
    levels double precision[] := taken;
BEGIN
    -- Locked in the order of their keys, so that processes wait for each other and never in a circle.
    FOR asked IN
        SELECT * FROM unnest(p_keys, p_rates, p_bursts, p_wanted) WITH ORDINALITY AS a (key, rate, burst, wanted, place)
         ORDER BY key
    LOOP
        SELECT tokens, refilled_at INTO bucket FROM tenancy_ratebucket WHERE key = asked.key FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO tenancy_ratebucket (key, tokens, refilled_at)
            VALUES (asked.key, asked.burst, clock_timestamp()) ON CONFLICT (key) DO NOTHING;
            SELECT tokens, refilled_at INTO bucket FROM tenancy_ratebucket WHERE key = asked.key FOR UPDATE;
        END IF;
        -- After a clock was set back, the bucket is refilled from now on, and not once the clock reaches the old time.
        moment := clock_timestamp();
        level := least(asked.burst, bucket.tokens + asked.rate
                       * greatest(0, extract(epoch FROM moment - bucket.refilled_at)::double precision));
        taken[asked.place] := floor(least(asked.wanted, level));
        levels[asked.place] := level - taken[asked.place];
        UPDATE tenancy_ratebucket SET tokens = level - taken[asked.place], refilled_at = moment WHERE key = asked.key;
    END LOOP;
    IF cardinality(p_kinds) > 0 THEN
        INSERT INTO tenancy_raterefusals AS r (kind, requests)
        SELECT kind, refused FROM unnest(p_kinds, p_refused) AS a (kind, refused) ORDER BY kind
            ON CONFLICT (kind) DO UPDATE SET requests = r.requests + excluded.requests;
    END IF;
    -- Buckets of clients that are gone are full again long since. One lease in a hundred removes some.
    IF random() < 0.01 THEN
        DELETE FROM tenancy_ratebucket WHERE key = ANY (ARRAY(
            SELECT b.key FROM tenancy_ratebucket b WHERE b.refilled_at < clock_timestamp() - interval '1 hour'
             LIMIT 1000 FOR UPDATE SKIP LOCKED));
    END IF;
    RETURN QUERY SELECT * FROM unnest(taken, levels);
END
$$;
