-- What came of a request by its Idempotency-Key. `id` stands for the caller and its key.

-- name: claim
-- Claims a key for a run, where it may be had; no row where it may not. The token makes it safe to send twice.
INSERT INTO idempotency (id, caller, fingerprint, token, run, state, alive_until, expires_at)
VALUES (%(id)s, %(caller)s, %(fingerprint)s, %(token)s, 1, %(state)s, now() + %(lease)s, now() + %(retention)s)
ON CONFLICT (id) DO UPDATE SET
    fingerprint = EXCLUDED.fingerprint,
    token = EXCLUDED.token,
    run = idempotency.run + CASE WHEN idempotency.token = EXCLUDED.token THEN 0 ELSE 1 END,
    state = EXCLUDED.state,
    answer = NULL,
    alive_until = EXCLUDED.alive_until,
    expires_at = EXCLUDED.expires_at
 WHERE idempotency.token = EXCLUDED.token
    OR (idempotency.fingerprint = EXCLUDED.fingerprint
        AND (idempotency.state = 'free' OR (idempotency.state = 'running' AND idempotency.alive_until <= now())))
    OR (idempotency.expires_at <= now()
        AND NOT (idempotency.state = 'running' AND idempotency.alive_until > now()))
RETURNING token, run, state, fingerprint, answer;

-- name: get
-- What stands in a claim's way.
SELECT token, run, state, fingerprint, answer FROM idempotency WHERE id = %(id)s;

-- name: renew
-- A sign of life of the process that holds a run.
UPDATE idempotency SET alive_until = now() + %(lease)s
 WHERE id = %(id)s AND token = %(token)s AND state = 'running'
RETURNING true AS held;

-- name: keep
-- Ends a run with its answer. Sent twice, it finds what it did itself.
UPDATE idempotency SET state = %(state)s, answer = %(answer)b, expires_at = now() + %(retention)s
 WHERE id = %(id)s AND token = %(token)s AND state IN ('running', %(state)s)
RETURNING true AS kept;

-- name: free
-- Ends a run without an answer, so that the next one may begin.
UPDATE idempotency SET state = 'free' WHERE id = %(id)s AND token = %(token)s AND state = 'running';

-- name: expire
-- Deletes some keys whose retention has passed, with their answers.
DELETE FROM idempotency WHERE id IN (
    SELECT id FROM idempotency
     WHERE expires_at <= now() AND NOT (state = 'running' AND alive_until > now())
     LIMIT 10000
) RETURNING 1;
