-- Large payloads of Temporal, by reference.

-- name: put
-- Keeps a payload; the same key again is the same payload.
INSERT INTO blobs (key, data) VALUES (%(key)s, %(data)b) ON CONFLICT (key) DO NOTHING;

-- name: get
-- Reads a payload back.
SELECT data FROM blobs WHERE key = %(key)s;

-- name: expire
-- Deletes some payloads that were kept before a moment; their workflows have long ended.
DELETE FROM blobs WHERE key IN (
    SELECT key FROM blobs WHERE created_at < %(before)s LIMIT 1000
) RETURNING 1;
