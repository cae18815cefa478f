-- Large payloads of Temporal, by reference.

-- name: put
-- Keeps a payload; the same key again is the same payload.
INSERT INTO blobs (key, data) VALUES (%(key)s, %(data)b) ON CONFLICT (key) DO NOTHING;

-- name: get
-- Reads a payload back.
SELECT data FROM blobs WHERE key = %(key)s;
