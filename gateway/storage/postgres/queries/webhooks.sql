-- The secrets that callers' webhooks are signed with, encrypted.

-- name: valid
-- A caller's secrets that sign now, the newest first: asked at each try that has no secret of its own.
SELECT * FROM webhook_secrets
 WHERE caller = %(caller)s AND (ends_at IS NULL OR ends_at > %(now)s)
 ORDER BY ends_at IS NULL DESC, created_at DESC, id DESC;

-- name: lock
-- Lets one transaction at a time change a caller's secrets.
SELECT pg_advisory_xact_lock(hashtext('gateway.webhooks'), hashtext(%(caller)s));

-- name: create
-- Keeps a secret as the newest, unless there is one.
INSERT INTO webhook_secrets (id, caller, secret, key_id, last_four, created_at)
VALUES (%(id)s, %(caller)s, %(secret)s, %(key_id)s, %(last_four)s, %(created_at)s)
ON CONFLICT (caller) WHERE ends_at IS NULL DO NOTHING
RETURNING true AS created;

-- name: end
-- Ends a caller's secrets at a moment, or when they end anyway; says which of them was the newest.
UPDATE webhook_secrets SET ends_at = least(webhook_secrets.ends_at, %(ends_at)s)
  FROM (SELECT id, ends_at IS NULL AS was_newest FROM webhook_secrets WHERE caller = %(caller)s FOR UPDATE) AS old
 WHERE webhook_secrets.id = old.id
RETURNING webhook_secrets.*, old.was_newest;

-- name: reseal
-- Keeps the same secret encrypted with another key.
UPDATE webhook_secrets SET secret = %(secret)s, key_id = %(key_id)s WHERE id = %(id)s;

-- name: expire
-- Deletes some secrets that ended before a moment.
DELETE FROM webhook_secrets WHERE id IN (
    SELECT id FROM webhook_secrets WHERE ends_at < %(before)s LIMIT 10000
) RETURNING 1;
