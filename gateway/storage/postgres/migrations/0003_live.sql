-- migrate:up

-- What happens at this moment, told by each process to all others; probes of models; tags and budgets of callers.
ALTER TABLE callers
    ADD COLUMN tags          jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN budget_usd    numeric CHECK (budget_usd >= 0),
    ADD COLUMN budget_period text CHECK (budget_period IN ('day', 'month')),
    ADD CHECK ((budget_usd IS NULL) = (budget_period IS NULL));

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

-- migrate:down
DROP TABLE probe_spend, probes, live_minutes, live_deltas;
ALTER TABLE callers DROP COLUMN budget_period, DROP COLUMN budget_usd, DROP COLUMN tags;
