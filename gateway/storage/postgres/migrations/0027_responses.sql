-- migrate:up

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

-- migrate:down
DROP TABLE response_items;
DROP TABLE conversations;
DROP TABLE responses;
DROP SEQUENCE turns;
