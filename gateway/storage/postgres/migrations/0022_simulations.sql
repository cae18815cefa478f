-- migrate:up

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

-- migrate:down
DROP TABLE simulations;
