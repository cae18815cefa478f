-- migrate:up

-- ---- usage -----------------------------------------------------------------------------------------------------------
-- What waits to be rolled up: one row for each request of the ledger, written in its transaction, and deleted in the one
-- that adds it to `usage`. So each is counted once, however late it was written and whoever died in the middle. With a
-- `number` it is an attempt's cost that was corrected.
CREATE TABLE usage_pending (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    accepted_at  timestamptz NOT NULL,
    request_id   uuid NOT NULL,
    number       integer,
    repricing_id uuid,
    entered_at   timestamptz NOT NULL DEFAULT now(),
    CHECK ((number IS NULL) = (repricing_id IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- By a trigger, so that a version of the gateway that does not know of usage is counted too while both run side by side.
CREATE FUNCTION note_usage() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO usage_pending (accepted_at, request_id) SELECT accepted_at, id FROM entered;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_usage AFTER INSERT ON requests
    REFERENCING NEW TABLE AS entered
    FOR EACH STATEMENT EXECUTE FUNCTION note_usage();

-- A measurement in milliseconds as a sketch of one, NULL as none: one in the digits of its bucket. What is too small or too
-- large for any sense stands for the least or the most of it. The constants are those of gateway/domain/sketch.py.
CREATE FUNCTION usage_sketch(ms double precision) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ms IS NOT NULL THEN (
    '1e' || (12 * (172 + ceil(ln(least(greatest(ms, 0.001), 1e9)) / ln(1.02::float8 / 0.98::float8))::integer))::text
)::numeric END;

-- What usage is counted by. Each row of `usage` stands for one of these; a dimension that its cut leaves out is empty.
-- `cut` says which are told apart: total: kind, status and code · model: these, model and provider · caller: these and
-- caller · tags: these and tags · model_tags: these, model, provider and tags · all: everything. A question reads the cut
-- with the fewest rows that can answer it.
-- A request counts under the model that answered or failed last, an attempt under its own model, both with the request's
-- status; `code` is why the request, or the attempt, failed. `digest` stands for all columns, however long they are.
CREATE TABLE usage_keys (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest   bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    cut      text NOT NULL CHECK (cut IN ('total', 'model', 'caller', 'tags', 'model_tags', 'all')),
    caller   text COLLATE "C" NOT NULL,
    model    text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    kind     text COLLATE "C" NOT NULL,
    status   text COLLATE "C" NOT NULL,
    code     text COLLATE "C" NOT NULL,
    tags     jsonb NOT NULL
);

CREATE INDEX usage_keys_caller ON usage_keys (cut, caller);

-- Counts by hour, day and month (`grain`), each in UTC. What is not known is counted (`usage_unknown`, `cost_unknown`),
-- and never taken for nothing. `latency` and `first_token` are sketches, each in one number: the count of bucket b stands in
-- the twelve digits from 10^(12·(b + 172)) on. Adding two merges them, so that sum() merges any number.
CREATE TABLE usage (
    grain                 text NOT NULL,
    cut                   text NOT NULL,
    key                   integer NOT NULL,
    at                    timestamptz NOT NULL,
    requests              bigint NOT NULL,
    untried               bigint NOT NULL,
    attempts              bigint NOT NULL,
    input_tokens          bigint NOT NULL,
    output_tokens         bigint NOT NULL,
    cached_tokens         bigint NOT NULL,
    reasoning_tokens      bigint NOT NULL,
    cache_write_tokens    bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    audio_input_tokens    bigint NOT NULL,
    audio_output_tokens   bigint NOT NULL,
    image_input_tokens    bigint NOT NULL,
    image_output_tokens   bigint NOT NULL,
    images                bigint NOT NULL,
    audio_seconds         numeric NOT NULL,
    usage_unknown         bigint NOT NULL,
    usage_estimated       bigint NOT NULL,
    cost_usd              numeric NOT NULL,
    cost_unknown          bigint NOT NULL,
    latency               numeric,
    first_token           numeric,
    PRIMARY KEY (grain, cut, key, at)
) PARTITION BY LIST (grain);

-- Old rows are found by it to be deleted, and those of a short period to be read.
CREATE INDEX usage_at ON usage USING brin (at) WITH (pages_per_range = 32);

-- The cuts with many rows lie apart from those with few: a page of a table holds what is read together.
CREATE TABLE usage_hours PARTITION OF usage FOR VALUES IN ('hour') PARTITION BY LIST (cut);
CREATE TABLE usage_hours_many PARTITION OF usage_hours FOR VALUES IN ('model_tags', 'all');
CREATE TABLE usage_hours_few PARTITION OF usage_hours FOR VALUES IN ('total', 'model', 'caller', 'tags');
CREATE TABLE usage_days PARTITION OF usage FOR VALUES IN ('day') PARTITION BY LIST (cut);
CREATE TABLE usage_days_many PARTITION OF usage_days FOR VALUES IN ('model_tags', 'all');
CREATE TABLE usage_days_few PARTITION OF usage_days FOR VALUES IN ('total', 'model', 'caller', 'tags');
CREATE TABLE usage_months PARTITION OF usage FOR VALUES IN ('month') PARTITION BY LIST (cut);
CREATE TABLE usage_months_many PARTITION OF usage_months FOR VALUES IN ('model_tags', 'all');
CREATE TABLE usage_months_few PARTITION OF usage_months FOR VALUES IN ('total', 'model', 'caller', 'tags');

-- Which values of a tag are told apart on a day: the first ones, up to a bound. All others are counted as "(other)".
CREATE TABLE usage_tags (
    day   timestamptz NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (day, name, value)
);

-- What the ledger holds already is rolled up like anything else. Settling waits meanwhile: about three seconds a million.
INSERT INTO usage_pending (accepted_at, request_id, entered_at)
SELECT accepted_at, id, finished_at FROM requests ORDER BY accepted_at, id;

-- migrate:down
DROP TRIGGER note_usage ON requests;
DROP FUNCTION note_usage();
DROP FUNCTION usage_sketch(double precision);
DROP TABLE usage_tags, usage, usage_keys, usage_pending;
