-- What processes keep copies of, and hear of when it changes.

-- name: revisions
-- The version of every noun: each process asks once a second, and whenever it hears of a change.
SELECT noun, version FROM revisions;

-- name: listen
-- Makes a connection hear of changes.
LISTEN gateway_changes;

-- name: bump
-- Grows a noun's version and announces it when the transaction commits; returns the new version.
SELECT bump_revision(%(noun)s) AS version;
