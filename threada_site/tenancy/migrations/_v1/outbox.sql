-- Jobs of the engine with a broker: the row is the job, a message only names it. The rows contain ids and belong to no tenant.
CREATE TABLE tenancy_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    queue varchar(64) NOT NULL,
    task varchar(128) NOT NULL,
    arguments jsonb NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    once varchar(256),
    run_at timestamptz NOT NULL DEFAULT now(),
    pool varchar(64),
    published_at timestamptz,
    taken_at timestamptz,
    taken_by varchar(128),
    beat_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    losses integer NOT NULL DEFAULT 0,
    CONSTRAINT tenancy_job_published_to_a_pool CHECK ((pool IS NULL) = (published_at IS NULL)),
    CONSTRAINT tenancy_job_taken_by_somebody CHECK (
        (taken_at IS NULL) = (taken_by IS NULL) AND (taken_at IS NULL) = (beat_at IS NULL)),
    CONSTRAINT tenancy_job_taken_once_published CHECK (taken_at IS NULL OR published_at IS NOT NULL)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX tenancy_job_once ON tenancy_job (once) WHERE once IS NOT NULL AND taken_at IS NULL;
CREATE INDEX tenancy_job_next ON tenancy_job (queue, priority DESC, id) WHERE published_at IS NULL;
CREATE INDEX tenancy_job_out ON tenancy_job (pool) WHERE published_at IS NOT NULL;
CREATE INDEX tenancy_job_subject ON tenancy_job ((coalesce(arguments->>'execution_id', arguments->>'work_item_id')))
 WHERE taken_at IS NULL;

CREATE FUNCTION tenancy_job_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY threada_jobs;
    RETURN NULL;
END $$;
CREATE TRIGGER tenancy_job_tell AFTER INSERT ON tenancy_job FOR EACH STATEMENT EXECUTE FUNCTION tenancy_job_tell();

-- Running workers, and the slots and capacity of each of their pools.
CREATE TABLE tenancy_worker (
    id varchar(128) PRIMARY KEY,
    pools jsonb NOT NULL,
    beat_at timestamptz NOT NULL
);

-- The process that publishes: one relay at a time, with a lease that it renews.
CREATE TABLE tenancy_relay (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    holder varchar(128) NOT NULL,
    lease_until timestamptz NOT NULL
);
