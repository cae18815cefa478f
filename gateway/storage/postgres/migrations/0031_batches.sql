-- migrate:up

-- ---- files and batches ---------------------------------------------------------------------------------------------
-- What is known of files; their content is sealed, in parts, before its file is known.
CREATE TABLE files (
    id         uuid PRIMARY KEY,
    caller     text NOT NULL,
    filename   text NOT NULL,
    purpose    text NOT NULL,
    bytes      bigint NOT NULL CHECK (bytes >= 0),
    created_at timestamptz NOT NULL,
    kept_until timestamptz
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

-- migrate:down
DROP TABLE batch_lines;
DROP TABLE batches;
DROP TABLE file_parts;
DROP TABLE files;
