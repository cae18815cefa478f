-- migrate:up

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

-- migrate:down
DROP TABLE stream_batches;
DROP TABLE stream_logs;
