-- What the migration runner asks.

-- name: lock
-- Lets one process migrate at a time; the lock goes with the connection.
SELECT pg_advisory_lock(hashtext('gateway.migrate'));

-- name: make_table
-- Makes the table of applied migrations, or completes the one that dbmate has made.
CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(128) PRIMARY KEY);
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS checksum text;
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS applied_at timestamptz NOT NULL DEFAULT now();

-- name: has_table
-- Whether the table of applied migrations is there: a dry run must not make it.
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: applied
-- What has been applied. dbmate leaves no checksum, and a dry run may meet its table without that column.
SELECT version, to_jsonb(m) ->> 'checksum' FROM schema_migrations AS m ORDER BY version;

-- name: record
-- Remembers a migration, in its own transaction.
INSERT INTO schema_migrations (version, checksum) VALUES (%(version)s, %(checksum)s);

-- name: ensure_partitions
-- Makes the ledger's partitions, so that a fresh database has them before its first request.
SELECT ensure_partitions(now(), %(months_ahead)s);
