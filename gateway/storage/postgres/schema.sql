-- The schema as it is today: what all migrations together lead to (a test builds both and compares them).

-- ---- the ledger ----------------------------------------------------------------------------------------------------
-- Append-only and partitioned by the month in which a request was accepted: old months are dropped as whole tables.
-- The default partitions take what no month was made for, so that no row is ever refused.
-- No foreign keys and no updates here: a request, its attempts and its texts are written together, once.

CREATE TABLE requests (
    id                     uuid NOT NULL,
    accepted_at            timestamptz NOT NULL,
    finished_at            timestamptz NOT NULL,
    deadline               timestamptz NOT NULL,
    status                 text NOT NULL CHECK (status IN ('completed', 'failed', 'cancelled', 'expired')),
    kind                   text NOT NULL,
    mode                   text NOT NULL CHECK (mode IN ('sync', 'stream', 'job')),
    durability             text NOT NULL CHECK (durability IN ('overlapped', 'start-first', 'degraded')),
    endpoint               text NOT NULL,
    door                   text NOT NULL,
    origin                 text NOT NULL,
    caller                 text NOT NULL,
    model                  text NOT NULL,
    served_model           text,
    served_provider        text,
    attempts               integer NOT NULL CHECK (attempts >= 0),
    candidates             text[] NOT NULL,
    decision               text[] NOT NULL,
    rules_version          text NOT NULL,
    limits                 jsonb NOT NULL,
    tags                   jsonb NOT NULL,
    metadata               jsonb NOT NULL,
    deliver                jsonb NOT NULL,
    trace_id               text NOT NULL,
    traceparent            text NOT NULL,
    client_request_id      text,
    fingerprint            text NOT NULL,
    queue_ms               double precision NOT NULL,
    overhead_ms            double precision,
    finish_reason          text,
    input_tokens           bigint,
    output_tokens          bigint,
    cached_tokens          bigint,
    reasoning_tokens       bigint,
    usage_estimated        boolean NOT NULL,
    cost_usd               numeric CHECK (cost_usd >= 0),
    cost_unknown           boolean NOT NULL GENERATED ALWAYS AS (cost_usd IS NULL) STORED,
    failure_code           text,
    failure_message        text,
    failure_detail         text,
    failure_param          text,
    failure_status         integer,
    failure_retryable      boolean,
    failure_retry_after_ms double precision,
    cache_write_tokens     bigint,
    cache_write_1h_tokens  bigint,
    audio_input_tokens     bigint,
    audio_output_tokens    bigint,
    image_input_tokens     bigint,
    image_output_tokens    bigint,
    images                 bigint,
    audio_seconds          double precision,
    registry_version       text NOT NULL DEFAULT '',
    facts                  jsonb NOT NULL DEFAULT '{}',
    characters             bigint,
    search_units           bigint,
    PRIMARY KEY (accepted_at, id)
) PARTITION BY RANGE (accepted_at);

CREATE INDEX requests_id ON requests (id);
CREATE INDEX requests_caller ON requests (caller, accepted_at, id);
CREATE INDEX requests_status ON requests (status, accepted_at, id);
CREATE INDEX requests_model ON requests (model, accepted_at, id);
CREATE INDEX requests_served_model ON requests (served_model, accepted_at, id);

CREATE TABLE requests_default PARTITION OF requests DEFAULT;

CREATE TABLE attempts (
    accepted_at            timestamptz NOT NULL,
    request_id             uuid NOT NULL,
    number                 integer NOT NULL CHECK (number >= 0),
    model                  text NOT NULL,
    provider               text NOT NULL,
    upstream_model         text NOT NULL,
    reason                 text NOT NULL,
    outcome                text NOT NULL
        CHECK (outcome IN ('succeeded', 'failed', 'broken', 'cancelled', 'interrupted', 'abandoned')),
    started_at             timestamptz NOT NULL,
    total_ms               double precision NOT NULL,
    first_token_ms         double precision,
    finish_reason          text,
    provider_request_id    text,
    input_tokens           bigint,
    output_tokens          bigint,
    cached_tokens          bigint,
    reasoning_tokens       bigint,
    usage_estimated        boolean NOT NULL,
    cost_usd               numeric CHECK (cost_usd >= 0),
    cost_unknown           boolean NOT NULL GENERATED ALWAYS AS (cost_usd IS NULL) STORED,
    failure_code           text,
    failure_message        text,
    failure_detail         text,
    failure_param          text,
    failure_status         integer,
    failure_retryable      boolean,
    failure_retry_after_ms double precision,
    cache_write_tokens     bigint,
    cache_write_1h_tokens  bigint,
    audio_input_tokens     bigint,
    audio_output_tokens    bigint,
    image_input_tokens     bigint,
    image_output_tokens    bigint,
    images                 bigint,
    audio_seconds          double precision,
    characters             bigint,
    search_units           bigint,
    PRIMARY KEY (accepted_at, request_id, number)
) PARTITION BY RANGE (accepted_at);

CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- What is long and read for one request at a time: its texts, and the decisions that were made about it.
CREATE TABLE bodies (
    accepted_at timestamptz NOT NULL,
    request_id  uuid NOT NULL,
    prompt      text,
    answer      text,
    decisions   jsonb,
    PRIMARY KEY (accepted_at, request_id)
) PARTITION BY RANGE (accepted_at);

-- lz4 costs a fraction of pglz's time, but not every build of PostgreSQL has it. Partitions take it from their parent.
DO $$
BEGIN
    ALTER TABLE bodies
        ALTER COLUMN prompt SET COMPRESSION lz4,
        ALTER COLUMN answer SET COMPRESSION lz4,
        ALTER COLUMN decisions SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this PostgreSQL has no lz4: texts are compressed by pglz';
END
$$;

CREATE TABLE bodies_default PARTITION OF bodies DEFAULT;

-- Makes the monthly partitions of every table that has them, from the month of `moment` on; rows that a default partition
-- took meanwhile move over. Safe to call often and from everywhere; returns how many it made.
CREATE FUNCTION ensure_partitions(moment timestamptz, months_ahead integer) RETURNS integer
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

-- ---- jobs ----------------------------------------------------------------------------------------------------------
CREATE TABLE jobs (
    id                     uuid PRIMARY KEY,
    caller                 text NOT NULL,
    endpoint               text NOT NULL,
    kind                   text NOT NULL,
    model                  text NOT NULL,
    status                 text NOT NULL
        CHECK (status IN ('queued', 'in_progress', 'completed', 'failed', 'cancelled', 'expired')),
    created_at             timestamptz NOT NULL,
    deadline               timestamptz NOT NULL,
    started_at             timestamptz,
    completed_at           timestamptz,
    served_model           text,
    attempts               integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    input_tokens           bigint,
    output_tokens          bigint,
    cached_tokens          bigint,
    reasoning_tokens       bigint,
    usage_estimated        boolean NOT NULL DEFAULT false,
    cost_usd               numeric CHECK (cost_usd >= 0),
    failure_code           text,
    failure_message        text,
    failure_detail         text,
    failure_param          text,
    failure_status         integer,
    failure_retryable      boolean,
    failure_retry_after_ms double precision,
    deliver                jsonb NOT NULL DEFAULT '{}',
    metadata               jsonb NOT NULL DEFAULT '{}',
    trace_id               text NOT NULL DEFAULT '',
    fingerprint            text NOT NULL DEFAULT '',
    cache_write_tokens     bigint,
    cache_write_1h_tokens  bigint,
    audio_input_tokens     bigint,
    audio_output_tokens    bigint,
    image_input_tokens     bigint,
    image_output_tokens    bigint,
    images                 bigint,
    audio_seconds          double precision,
    priority               smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    not_before             timestamptz,
    deleted_at             timestamptz,
    characters             bigint,
    search_units           bigint
);

CREATE INDEX jobs_created ON jobs (created_at, id);
CREATE INDEX jobs_caller ON jobs (caller, created_at, id);
CREATE INDEX jobs_status ON jobs (status, created_at, id);

-- What keeps a job's model call from being paid twice. `token` tells one call of `claim` from another by the same holder.
-- `media_type` is what the answer is; none is JSON.
CREATE TABLE claims (
    request_id uuid NOT NULL,
    number     integer NOT NULL CHECK (number >= 0),
    token      uuid NOT NULL,
    holder     text NOT NULL,
    state      text NOT NULL CHECK (state IN ('claimed', 'answered', 'given_up')),
    attempt    jsonb,
    answer     bytea,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    media_type text,
    PRIMARY KEY (request_id, number),
    CHECK ((state = 'answered') = (attempt IS NOT NULL))
);

-- ---- streams -------------------------------------------------------------------------------------------------------
-- The events of streams that can be read again, in batches: so many events are not as many commits. `writer` is who may
-- add to a log: a later attempt takes it over, and what its forerunner still says is refused.
CREATE TABLE stream_logs (
    request_id uuid PRIMARY KEY,
    writer     text NOT NULL,
    next_seq   integer NOT NULL DEFAULT 0,
    closed     boolean NOT NULL DEFAULT false,
    told_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX stream_logs_told ON stream_logs (told_at);

CREATE TABLE stream_batches (
    request_id uuid NOT NULL REFERENCES stream_logs (request_id) ON DELETE CASCADE,
    first_seq  integer NOT NULL,
    last_seq   integer NOT NULL,
    lines      bytea NOT NULL,
    PRIMARY KEY (request_id, last_seq),
    CHECK (first_seq <= last_seq)
);

-- ---- idempotency ---------------------------------------------------------------------------------------------------
-- What came of a request by its Idempotency-Key; `id` is derived of the caller and the key. `run` counts the times it
-- was begun, `token` is the last one's. `answer` is sealed, since it holds what the caller said and was told.
CREATE TABLE idempotency (
    id          uuid PRIMARY KEY,
    caller      text NOT NULL,
    fingerprint text NOT NULL,
    token       uuid NOT NULL,
    run         integer NOT NULL CHECK (run > 0),
    state       text NOT NULL CHECK (state IN ('running', 'free', 'answered', 'unkept', 'job')),
    answer      bytea,
    alive_until timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    CHECK ((state = 'answered') = (answer IS NOT NULL))
);

CREATE INDEX idempotency_expires ON idempotency (expires_at);

-- ---- responses -----------------------------------------------------------------------------------------------------
-- What is kept of /v1/responses and /v1/conversations for the next turn; `id` is the request's, what was said is sealed.
CREATE TABLE responses (
    id           uuid PRIMARY KEY,
    caller       text NOT NULL,
    status       text NOT NULL
        CHECK (status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')),
    created_at   timestamptz NOT NULL,
    kept_until   timestamptz NOT NULL,
    body         bytea NOT NULL,
    previous     uuid,
    conversation text,
    background   boolean NOT NULL,
    streamed     boolean NOT NULL
);

CREATE INDEX responses_kept_until ON responses (kept_until);

CREATE TABLE conversations (
    id         text PRIMARY KEY,
    caller     text NOT NULL,
    created_at timestamptz NOT NULL,
    kept_until timestamptz NOT NULL,
    metadata   jsonb NOT NULL
);

CREATE INDEX conversations_kept_until ON conversations (kept_until);

CREATE SEQUENCE turns;

-- An item belongs to a response, to a conversation, or to both; in order by its turn, inputs before outputs, and its place.
CREATE TABLE response_items (
    number       bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    caller       text NOT NULL,
    id           text NOT NULL,
    response     uuid,
    conversation text,
    turn         bigint NOT NULL,
    output       boolean NOT NULL,
    place        integer NOT NULL,
    data         bytea NOT NULL,
    CHECK (response IS NOT NULL OR conversation IS NOT NULL)
);

CREATE INDEX response_items_id ON response_items (caller, id);
CREATE INDEX response_items_response ON response_items (response, turn, output, place) WHERE response IS NOT NULL;
CREATE INDEX response_items_conversation ON response_items (conversation, turn, output, place)
    WHERE conversation IS NOT NULL;

-- ---- prices --------------------------------------------------------------------------------------------------------
-- What somebody said that a model costs from a moment on: never changed, another row says another thing. The first ten
-- are USD for a million tokens; NULL is a price that is not known, and a row without any ends the prices of its model.
-- `upstream` is what a published price was looked up for; a price that somebody said holds for whatever the model is.
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
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    upstream           text,
    million_characters_usd numeric CHECK (million_characters_usd >= 0),
    search_unit_usd    numeric CHECK (search_unit_usd >= 0)
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

-- ---- simulations ---------------------------------------------------------------------------------------------------
-- A rule text that is tried on logged requests of a period. `run` tells the work that is under way from one before it,
-- whose worker was taken for dead; `done` is how far that work is.
CREATE TABLE simulations (
    id           uuid PRIMARY KEY,
    text         text NOT NULL,
    version      bigint,
    digest       text NOT NULL,
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    most         integer NOT NULL CHECK (most > 0),
    actor        text NOT NULL,
    created_at   timestamptz NOT NULL,
    status       text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'in_progress', 'completed', 'failed')),
    completed_at timestamptz,
    run          text NOT NULL DEFAULT '',
    done         bigint NOT NULL DEFAULT 0,
    total        bigint,
    error        text,
    report       jsonb,
    CHECK (since < until),
    CHECK ((report IS NOT NULL) = (status = 'completed'))
);

-- Each reads much of the ledger: a caller has one at a time.
CREATE UNIQUE INDEX simulations_one_each ON simulations (actor) WHERE status IN ('queued', 'in_progress');

CREATE INDEX simulations_completed ON simulations (completed_at);

-- ---- callers and their keys ----------------------------------------------------------------------------------------
CREATE TABLE callers (
    id            text PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    kind          text NOT NULL CHECK (kind IN ('agent', 'person', 'service')),
    rights        text[] NOT NULL,
    models        text[],
    created_at    timestamptz NOT NULL DEFAULT now(),
    tags          jsonb NOT NULL DEFAULT '{}',
    budget_usd    numeric CHECK (budget_usd >= 0),
    budget_period text CHECK (budget_period IN ('day', 'month')),
    subjects      text[] NOT NULL DEFAULT '{}',
    CHECK ((budget_usd IS NULL) = (budget_period IS NULL))
);

CREATE TABLE api_keys (
    id         text PRIMARY KEY,
    caller_id  text NOT NULL REFERENCES callers (id),
    digest     bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    last_four  text NOT NULL,
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX api_keys_caller ON api_keys (caller_id);

-- ---- live facts and probes --------------------------------------------------------------------------------------------
-- What each process counted since it last told, about once a second: packed, since only whole rows are ever read. The
-- numbers of a replica grow by one; a row that makes up for a time without a database spans `first` to `number`.
CREATE TABLE live_deltas (
    replica    text NOT NULL,
    first      bigint NOT NULL,
    number     bigint NOT NULL,
    at         timestamptz NOT NULL,
    facts      bytea NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (replica, number),
    CHECK (first <= number)
);

CREATE INDEX live_deltas_written ON live_deltas (written_at);

-- The same by the minute, so that a fresh process need not read an hour of seconds. A minute that is not here is still
-- there in seconds.
CREATE TABLE live_minutes (
    replica text NOT NULL,
    first   bigint NOT NULL,
    number  bigint NOT NULL,
    at      timestamptz NOT NULL,
    facts   bytea NOT NULL,
    PRIMARY KEY (replica, number),
    CHECK (first <= number)
);

CREATE INDEX live_minutes_at ON live_minutes (at);

-- When each model is to be probed next, and what its last probe said.
CREATE TABLE probes (
    model   text PRIMARY KEY,
    next_at timestamptz NOT NULL,
    holder  text NOT NULL DEFAULT '',
    at      timestamptz,
    ok      boolean,
    code    text
);

-- What probes have cost on each day (UTC): reserved before the call, corrected after it.
CREATE TABLE probe_spend (
    day  date PRIMARY KEY,
    usd  numeric NOT NULL CHECK (usd >= 0)
);

-- ---- large payloads of Temporal, by reference ------------------------------------------------------------------------
CREATE TABLE blobs (
    key        text PRIMARY KEY,
    data       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Blobs come encrypted: compressing them again would only cost time.
ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE INDEX blobs_created ON blobs (created_at);

-- ---- what changes while processes run ---------------------------------------------------------------------------------
-- Processes keep copies of these nouns, and read them again when the version differs from that of their copy.
CREATE TABLE revisions (
    noun       text PRIMARY KEY CHECK (noun <> ''),
    version    bigint NOT NULL CHECK (version > 0),
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Called in the transaction of each change: the row stays locked until its end, so versions grow in the order of commits,
-- and whoever listens is told after it. Returns the new version.
CREATE FUNCTION bump_revision(what text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    grown bigint;
BEGIN
    INSERT INTO revisions (noun, version) VALUES (what, 1)
    ON CONFLICT (noun) DO UPDATE SET version = revisions.version + 1, changed_at = now()
    RETURNING version INTO grown;
    PERFORM pg_notify('gateway_changes', what);
    RETURN grown;
END
$$;

-- Who changed what, written in the transaction of the change. Never a secret in it.
CREATE TABLE audit (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    noun   text NOT NULL,
    name   text NOT NULL,
    action text NOT NULL,
    before jsonb,
    after  jsonb
);

CREATE INDEX audit_of ON audit (noun, name, id);

-- ---- the registry ------------------------------------------------------------------------------------------------------
-- Names are compared by code point, as processes compare them. `version` is the registry's revision at the last change.
CREATE TABLE models (
    name                      text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    provider                  text NOT NULL CHECK (provider <> ''),
    base_url                  text NOT NULL,
    upstream_model            text NOT NULL,
    kind                      text NOT NULL CHECK (kind <> ''),
    credential                text CHECK (credential ~ '^(env|file|stored):.'),
    credential_for            text NOT NULL,
    capabilities              text[],
    tags                      jsonb NOT NULL CHECK (jsonb_typeof(tags) = 'object'),
    price                     jsonb CHECK (jsonb_typeof(price) = 'object'),
    context_window            bigint CHECK (context_window > 0),
    max_output                bigint CHECK (max_output > 0),
    size                      text CHECK (size <> ''),
    quality                   double precision CHECK (quality >= 0 AND quality <= 1),
    limit_concurrency         bigint CHECK (limit_concurrency > 0),
    limit_requests_per_minute bigint CHECK (limit_requests_per_minute > 0),
    limit_tokens_per_minute   bigint CHECK (limit_tokens_per_minute > 0),
    timeouts                  jsonb NOT NULL CHECK (jsonb_typeof(timeouts) = 'object'),
    headers                   jsonb NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
    options                   jsonb NOT NULL CHECK (jsonb_typeof(options) = 'object'),
    state                     text NOT NULL CHECK (state IN ('enabled', 'draining', 'disabled')),
    notes                     text NOT NULL,
    version                   bigint NOT NULL CHECK (version > 0),
    created_at                timestamptz NOT NULL DEFAULT now(),
    changed_at                timestamptz NOT NULL DEFAULT now(),
    changed_by                text NOT NULL
);

-- An alias stands for its models in the order of `position`, which may have gaps.
CREATE TABLE aliases (
    alias    text COLLATE "C" NOT NULL CHECK (alias <> ''),
    position integer NOT NULL CHECK (position >= 0),
    model    text COLLATE "C" NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    PRIMARY KEY (alias, position),
    UNIQUE (alias, model)
);

CREATE INDEX aliases_model ON aliases (model);

-- Credentials that are kept here, encrypted by the key `key_id` together with their id and the origin they may go to:
-- moved to another row or another origin, they cannot be decrypted.
CREATE TABLE credentials (
    id         text PRIMARY KEY CHECK (id <> ''),
    model      text COLLATE "C" NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    secret     bytea NOT NULL,
    key_id     text NOT NULL,
    last_four  text NOT NULL CHECK (length(last_four) <= 4),
    goes_to    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX credentials_model ON credentials (model);

-- ---- the rules -----------------------------------------------------------------------------------------------------
-- Versions are only ever added; the one in force is that of the newest publication.
CREATE TABLE rule_versions (
    number     bigint PRIMARY KEY CHECK (number > 0),
    text       text NOT NULL,
    digest     text NOT NULL CHECK (digest <> ''),
    author     text NOT NULL,
    note       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rule_publications (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint NOT NULL REFERENCES rule_versions (number),
    at     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    note   text NOT NULL
);

CREATE INDEX rule_publications_number ON rule_publications (number, id);

-- ---- limits over all replicas --------------------------------------------------------------------------------------
-- Unlogged: they change with every lease, nobody waits for a disk, and after a crash of the server they start anew, full
-- and free; replicas say what they hold every second.

-- Token buckets as they were at `at`. What a replica draws is gone from here, so that no lease has to be kept or expire;
-- `queue_at` is when the last one in line comes.
CREATE UNLOGGED TABLE buckets (
    key      text PRIMARY KEY,
    level    double precision NOT NULL,
    at       timestamptz NOT NULL,
    full_at  timestamptz NOT NULL,
    queue_at timestamptz
) WITH (fillfactor = 50);

-- Draws tokens from some buckets, in the order of their keys: less than `mosts` where they hold less, and nothing where
-- they hold less than `leasts`. What is owed is taken off first.
CREATE FUNCTION draw_tokens(
    keys text[], rates float8[], bursts float8[], leasts float8[], mosts float8[], owed float8[]
) RETURNS TABLE (tokens float8, level float8)
LANGUAGE plpgsql AS $$
DECLARE
    kept   buckets;
    moment timestamptz;
BEGIN
    FOR i IN 1..cardinality(keys) LOOP
        SELECT * INTO kept FROM buckets b WHERE b.key = keys[i] FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO buckets AS b VALUES (keys[i], bursts[i], clock_timestamp(), clock_timestamp(), NULL)
            ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING * INTO kept;
        END IF;
        moment := greatest(kept.at, clock_timestamp());
        level := least(bursts[i], kept.level + rates[i] * extract(epoch FROM moment - kept.at)) - owed[i];
        tokens := CASE WHEN level >= leasts[i] THEN greatest(0, least(mosts[i], level)) ELSE 0 END;
        level := level - tokens;
        UPDATE buckets b
           SET level = draw_tokens.level,
               at = moment,
               full_at = moment + make_interval(secs => least(86400, (bursts[i] - draw_tokens.level) / nullif(rates[i], 0)))
         WHERE b.key = keys[i];
        RETURN NEXT;
    END LOOP;
END
$$;

-- How many of something each replica has at once. A row that has expired counts no more.
CREATE UNLOGGED TABLE slots (
    key        text NOT NULL,
    holder     text NOT NULL,
    held       integer NOT NULL CHECK (held > 0),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (key, holder)
) WITH (fillfactor = 50);

-- Lets a replica hold some slots of each key, in the order of the keys: those in use in any case, more as far as the others
-- leave them.
CREATE FUNCTION hold_slots(
    who text, keys text[], limits integer[], in_use integer[], mosts integer[], expiry interval
) RETURNS TABLE (held integer, others integer)
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..cardinality(keys) LOOP
        -- One replica at a time: what it counts below must not change before it has written its own row.
        PERFORM pg_advisory_xact_lock(hashtextextended('gateway.slots.' || keys[i], 0));
        DELETE FROM slots s WHERE s.key = keys[i] AND s.expires_at <= clock_timestamp();
        SELECT coalesce(sum(s.held), 0) INTO others FROM slots s WHERE s.key = keys[i] AND s.holder <> who;
        held := greatest(in_use[i], least(mosts[i], limits[i] - others), 0);
        IF held = 0 THEN
            DELETE FROM slots s WHERE s.key = keys[i] AND s.holder = who;
        ELSE
            INSERT INTO slots AS s VALUES (keys[i], who, held, clock_timestamp() + expiry)
            ON CONFLICT (key, holder) DO UPDATE SET held = excluded.held, expires_at = excluded.expires_at;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
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
    characters            bigint NOT NULL DEFAULT 0,
    search_units          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (grain, cut, key, at)
) PARTITION BY LIST (grain);

-- Old rows are found by it to be deleted, and those of a short period to be read.
CREATE INDEX usage_at ON usage USING brin (at) WITH (pages_per_range = 32);

-- The cuts lie apart by how many rows they have: a page of a table then holds what is read together, and a small cut stays
-- in memory.
CREATE TABLE usage_hours PARTITION OF usage FOR VALUES IN ('hour') PARTITION BY LIST (cut);
CREATE TABLE usage_hours_many PARTITION OF usage_hours FOR VALUES IN ('all');
CREATE TABLE usage_hours_some PARTITION OF usage_hours FOR VALUES IN ('model_tags');
CREATE TABLE usage_hours_few PARTITION OF usage_hours FOR VALUES IN ('total', 'model', 'caller', 'tags');
CREATE TABLE usage_days PARTITION OF usage FOR VALUES IN ('day') PARTITION BY LIST (cut);
CREATE TABLE usage_days_many PARTITION OF usage_days FOR VALUES IN ('all');
CREATE TABLE usage_days_some PARTITION OF usage_days FOR VALUES IN ('model_tags');
CREATE TABLE usage_days_few PARTITION OF usage_days FOR VALUES IN ('total', 'model', 'caller', 'tags');
CREATE TABLE usage_months PARTITION OF usage FOR VALUES IN ('month') PARTITION BY LIST (cut);
CREATE TABLE usage_months_many PARTITION OF usage_months FOR VALUES IN ('all');
CREATE TABLE usage_months_some PARTITION OF usage_months FOR VALUES IN ('model_tags');
CREATE TABLE usage_months_few PARTITION OF usage_months FOR VALUES IN ('total', 'model', 'caller', 'tags');

-- Which values of a tag are told apart on a day: the first ones, up to a bound. All others are counted as "(other)".
CREATE TABLE usage_tags (
    day   timestamptz NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (day, name, value)
);

-- A cost that is corrected changes usage by the difference.
CREATE FUNCTION note_corrected_usage() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO usage_pending (accepted_at, request_id, number, repricing_id)
    SELECT accepted_at, request_id, number, repricing_id FROM corrected;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_usage AFTER INSERT ON corrections
    REFERENCING NEW TABLE AS corrected
    FOR EACH STATEMENT EXECUTE FUNCTION note_corrected_usage();

-- ---- deliveries ----------------------------------------------------------------------------------------------------
-- A row for each try to tell a caller of a finished job. `run` is the workflow's: at the job's end, or by hand later. The
-- target has no secrets; the rows go after their jobs.
CREATE TABLE deliveries (
    job_id  uuid NOT NULL,
    channel text NOT NULL,
    run     text NOT NULL,
    number  integer NOT NULL CHECK (number > 0),
    at      timestamptz NOT NULL,
    target  text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('delivered', 'failed', 'given_up', 'interrupted')),
    took_ms double precision NOT NULL DEFAULT 0,
    by_hand boolean NOT NULL DEFAULT false,
    status  integer,
    code    text,
    message text,
    next_at timestamptz,
    PRIMARY KEY (job_id, channel, run, number)
);

CREATE INDEX deliveries_at ON deliveries (at);

-- What callers' webhooks are signed with, encrypted. The newest has no end; one that was rotated out signs until its own.
CREATE TABLE webhook_secrets (
    id         uuid PRIMARY KEY,
    caller     text NOT NULL,
    secret     bytea NOT NULL,
    key_id     text NOT NULL,
    last_four  text NOT NULL,
    created_at timestamptz NOT NULL,
    ends_at    timestamptz
);

CREATE UNIQUE INDEX webhook_secrets_newest ON webhook_secrets (caller) WHERE ends_at IS NULL;
CREATE INDEX webhook_secrets_caller ON webhook_secrets (caller, created_at);

-- ---- files and batches ---------------------------------------------------------------------------------------------
-- What is known of files; their content is sealed, in parts, before its file is known.
CREATE TABLE files (
    id         uuid PRIMARY KEY,
    caller     text NOT NULL,
    filename   text NOT NULL,
    purpose    text NOT NULL,
    bytes      bigint NOT NULL CHECK (bytes >= 0),
    created_at timestamptz NOT NULL,
    kept_until timestamptz,
    -- Where its content is: here, in file_parts, or in storage that speaks S3.
    store      text NOT NULL DEFAULT 'postgres' CHECK (store IN ('postgres', 's3'))
);

CREATE INDEX files_of_caller ON files (caller, created_at, id);
CREATE INDEX files_kept_until ON files (kept_until) WHERE kept_until IS NOT NULL;

CREATE TABLE file_parts (
    file_id uuid NOT NULL,
    number  integer NOT NULL CHECK (number >= 0),
    data    bytea NOT NULL,
    put_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (file_id, number)
);

-- What is kept is encrypted, and does not compress.
ALTER TABLE file_parts ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE batches (
    id          uuid PRIMARY KEY,
    caller      text NOT NULL,
    endpoint    text NOT NULL,
    input_file  uuid NOT NULL,
    time_window text NOT NULL,
    status      text NOT NULL CHECK (status IN ('validating', 'failed', 'in_progress', 'finalizing', 'completed',
                                                'expired', 'cancelling', 'cancelled')),
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    total       integer NOT NULL DEFAULT 0,
    completed   integer NOT NULL DEFAULT 0,
    failed      integer NOT NULL DEFAULT 0,
    reached     jsonb NOT NULL DEFAULT '{}',
    metadata    jsonb NOT NULL DEFAULT '{}',
    problems    jsonb NOT NULL DEFAULT '[]',
    output_file uuid,
    error_file  uuid,
    terms       bytea NOT NULL
);

CREATE INDEX batches_of_caller ON batches (caller, created_at DESC, id DESC);
CREATE INDEX batches_ended ON batches (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE batch_lines (
    batch_id   uuid NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    number     integer NOT NULL,
    custom_id  text NOT NULL,
    at         bigint NOT NULL,
    size       integer NOT NULL,
    request_id uuid NOT NULL,
    state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'completed', 'failed')),
    failure    jsonb,
    PRIMARY KEY (batch_id, number)
);

CREATE INDEX batch_lines_running ON batch_lines (batch_id, request_id) WHERE state = 'running';
