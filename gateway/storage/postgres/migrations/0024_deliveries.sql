-- migrate:up
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

-- Patterns of NATS subjects that a caller's jobs may be published to, beside its own.
ALTER TABLE callers ADD COLUMN subjects text[] NOT NULL DEFAULT '{}';

-- migrate:down
ALTER TABLE callers DROP COLUMN subjects;
DROP TABLE webhook_secrets, deliveries;
