-- migrate:up

-- ---- jobs: when they may begin, and who goes first -----------------------------------------------------------------
-- Of a job that was deleted a row without its payloads is left until its retention has passed.
ALTER TABLE jobs
    ADD COLUMN priority smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    ADD COLUMN not_before timestamptz,
    ADD COLUMN deleted_at timestamptz;

-- migrate:down
ALTER TABLE jobs DROP COLUMN priority, DROP COLUMN not_before, DROP COLUMN deleted_at;
