-- migrate:up
ALTER TABLE requests
    ADD COLUMN cache_write_tokens bigint,
    ADD COLUMN cache_write_1h_tokens bigint,
    ADD COLUMN audio_input_tokens bigint,
    ADD COLUMN audio_output_tokens bigint,
    ADD COLUMN image_input_tokens bigint,
    ADD COLUMN image_output_tokens bigint,
    ADD COLUMN images bigint,
    ADD COLUMN audio_seconds double precision;

ALTER TABLE attempts
    ADD COLUMN cache_write_tokens bigint,
    ADD COLUMN cache_write_1h_tokens bigint,
    ADD COLUMN audio_input_tokens bigint,
    ADD COLUMN audio_output_tokens bigint,
    ADD COLUMN image_input_tokens bigint,
    ADD COLUMN image_output_tokens bigint,
    ADD COLUMN images bigint,
    ADD COLUMN audio_seconds double precision;

ALTER TABLE jobs
    ADD COLUMN cache_write_tokens bigint,
    ADD COLUMN cache_write_1h_tokens bigint,
    ADD COLUMN audio_input_tokens bigint,
    ADD COLUMN audio_output_tokens bigint,
    ADD COLUMN image_input_tokens bigint,
    ADD COLUMN image_output_tokens bigint,
    ADD COLUMN images bigint,
    ADD COLUMN audio_seconds double precision;

-- Makes the monthly partitions of every table that has them, from the month of `moment` on; rows that a default partition
-- took meanwhile move over. Safe to call often and from everywhere; returns how many it made.
CREATE OR REPLACE FUNCTION ensure_partitions(moment timestamptz, months_ahead integer) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '5s'
AS $$
DECLARE
    parent  text;
    child   text;
    columns text;
    opens   timestamptz;
    closes  timestamptz;
    made    integer := 0;
BEGIN
    FOR ahead IN 0..months_ahead LOOP
        -- Months are UTC's, whatever the session's time zone is.
        opens := (date_trunc('month', moment AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC';
        closes := (opens AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        -- Those by `accepted_at` that have a default partition, which is where their rows are looked for.
        FOR parent IN
            SELECT c.relname
              FROM pg_partitioned_table AS p
              JOIN pg_class AS c ON c.oid = p.partrelid
              JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
             WHERE p.partstrat = 'r' AND p.partdefid <> 0 AND a.attname = 'accepted_at' AND pg_table_is_visible(c.oid)
             ORDER BY c.relname
        LOOP
            child := format('%s_%s', parent, to_char(opens AT TIME ZONE 'UTC', 'YYYY_MM'));
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            PERFORM pg_advisory_xact_lock(hashtext('gateway.ensure_partitions'));
            CONTINUE WHEN to_regclass(child) IS NOT NULL;  -- another replica was faster
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
              FROM pg_attribute
             WHERE attrelid = parent::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %I WHERE accepted_at >= %L AND accepted_at < %L RETURNING %s)'
                ' INSERT INTO %I (%s) SELECT %s FROM moved',
                parent || '_default', opens, closes, columns, child, columns, columns);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, opens, closes);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- ---- prices --------------------------------------------------------------------------------------------------------
-- What somebody said that a model costs from a moment on: never changed, another row says another thing. The first ten
-- are USD for a million tokens; NULL is a price that is not known, and a row without any ends the prices of its model.
CREATE TABLE prices (
    id                 uuid PRIMARY KEY,
    model              text NOT NULL,
    since              timestamptz,
    input_usd          numeric CHECK (input_usd >= 0),
    output_usd         numeric CHECK (output_usd >= 0),
    cached_input_usd   numeric CHECK (cached_input_usd >= 0),
    cache_write_usd    numeric CHECK (cache_write_usd >= 0),
    cache_write_1h_usd numeric CHECK (cache_write_1h_usd >= 0),
    reasoning_usd      numeric CHECK (reasoning_usd >= 0),
    audio_input_usd    numeric CHECK (audio_input_usd >= 0),
    audio_output_usd   numeric CHECK (audio_output_usd >= 0),
    image_input_usd    numeric CHECK (image_input_usd >= 0),
    image_output_usd   numeric CHECK (image_output_usd >= 0),
    image_usd          numeric CHECK (image_usd >= 0),
    request_usd        numeric CHECK (request_usd >= 0),
    gpu_second_usd     numeric CHECK (gpu_second_usd >= 0),
    audio_hour_usd     numeric CHECK (audio_hour_usd >= 0),
    tiers              jsonb NOT NULL DEFAULT '[]',
    source             text NOT NULL,
    actor              text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX prices_model ON prices (model, since);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only added to', TG_TABLE_NAME;
END
$$;

CREATE TRIGGER prices_stay BEFORE UPDATE OR DELETE ON prices FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A period that is priced anew, with the prices that were known when it was asked. (at_accepted, at_request, at_number)
-- is the last attempt that was looked at; the sums are over those that were.
CREATE TABLE repricings (
    id          uuid PRIMARY KEY,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    models      text[],
    dry_run     boolean NOT NULL,
    reason      text NOT NULL,
    actor       text NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    status      text NOT NULL DEFAULT 'in_progress'
        CHECK (status IN ('in_progress', 'completed', 'failed', 'cancelled')),
    finished_at timestamptz,
    failure     text,
    at_accepted timestamptz,
    at_request  uuid,
    at_number   integer,
    looked_at   bigint NOT NULL DEFAULT 0,
    changed     bigint NOT NULL DEFAULT 0,
    unknown     bigint NOT NULL DEFAULT 0,
    old_usd     numeric NOT NULL DEFAULT 0,
    new_usd     numeric NOT NULL DEFAULT 0,
    CHECK (since < until)
);

CREATE INDEX repricings_asked ON repricings (asked_at, id);

-- Two that write at once would each take the other's corrections for what was there before.
CREATE UNIQUE INDEX repricings_one_writes ON repricings ((true)) WHERE status = 'in_progress' AND NOT dry_run;

-- What attempts cost after all: the last one of an attempt holds, in the order of its repricings (UUIDv7). `old_usd` is
-- what held before it, so that the difference of the two adds up over any number of corrections.
CREATE TABLE corrections (
    accepted_at  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    number       integer NOT NULL,
    repricing_id uuid NOT NULL,
    model        text NOT NULL,
    old_usd      numeric CHECK (old_usd >= 0),
    new_usd      numeric CHECK (new_usd >= 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (accepted_at, request_id, number, repricing_id)
) PARTITION BY RANGE (accepted_at);

CREATE INDEX corrections_repricing ON corrections (repricing_id, accepted_at, request_id, number);

CREATE TABLE corrections_default PARTITION OF corrections DEFAULT;

-- What each attempt costs: the ledger's cost, or its last correction where there is one.
CREATE VIEW attempt_costs AS
SELECT a.accepted_at, a.request_id, a.number, a.model, a.cost_usd AS ledger_usd,
       CASE WHEN c.repricing_id IS NULL THEN a.cost_usd ELSE c.new_usd END AS cost_usd, c.repricing_id
  FROM attempts AS a
  LEFT JOIN LATERAL (
    SELECT new_usd, repricing_id FROM corrections
     WHERE accepted_at = a.accepted_at AND request_id = a.request_id AND number = a.number
     ORDER BY repricing_id DESC
     LIMIT 1
  ) AS c ON true;

-- migrate:down
DROP VIEW attempt_costs;
DROP TABLE corrections, repricings, prices;
DROP FUNCTION refuse_change();

-- Makes the monthly partitions from the month of `moment` on; rows that the default partition took meanwhile move over.
-- Safe to call often and from everywhere; returns how many it made.
CREATE OR REPLACE FUNCTION ensure_partitions(moment timestamptz, months_ahead integer) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '5s'
AS $$
DECLARE
    parent  text;
    child   text;
    columns text;
    opens   timestamptz;
    closes  timestamptz;
    made    integer := 0;
BEGIN
    FOR ahead IN 0..months_ahead LOOP
        -- Months are UTC's, whatever the session's time zone is.
        opens := (date_trunc('month', moment AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC';
        closes := (opens AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        FOREACH parent IN ARRAY ARRAY['requests', 'attempts', 'bodies'] LOOP
            child := format('%s_%s', parent, to_char(opens AT TIME ZONE 'UTC', 'YYYY_MM'));
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            PERFORM pg_advisory_xact_lock(hashtext('gateway.ensure_partitions'));
            CONTINUE WHEN to_regclass(child) IS NOT NULL;  -- another replica was faster
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
              FROM pg_attribute
             WHERE attrelid = parent::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %I WHERE accepted_at >= %L AND accepted_at < %L RETURNING %s)'
                ' INSERT INTO %I (%s) SELECT %s FROM moved',
                parent || '_default', opens, closes, columns, child, columns, columns);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, opens, closes);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

ALTER TABLE requests
    DROP COLUMN cache_write_tokens,
    DROP COLUMN cache_write_1h_tokens,
    DROP COLUMN audio_input_tokens,
    DROP COLUMN audio_output_tokens,
    DROP COLUMN image_input_tokens,
    DROP COLUMN image_output_tokens,
    DROP COLUMN images,
    DROP COLUMN audio_seconds;

ALTER TABLE attempts
    DROP COLUMN cache_write_tokens,
    DROP COLUMN cache_write_1h_tokens,
    DROP COLUMN audio_input_tokens,
    DROP COLUMN audio_output_tokens,
    DROP COLUMN image_input_tokens,
    DROP COLUMN image_output_tokens,
    DROP COLUMN images,
    DROP COLUMN audio_seconds;

ALTER TABLE jobs
    DROP COLUMN cache_write_tokens,
    DROP COLUMN cache_write_1h_tokens,
    DROP COLUMN audio_input_tokens,
    DROP COLUMN audio_output_tokens,
    DROP COLUMN image_input_tokens,
    DROP COLUMN image_output_tokens,
    DROP COLUMN images,
    DROP COLUMN audio_seconds;
