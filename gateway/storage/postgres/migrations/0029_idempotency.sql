-- migrate:up

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

-- migrate:down
DROP TABLE idempotency;
