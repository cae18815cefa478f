-- What keeps a job's model call from being paid twice.

-- name: claim
-- Claims an attempt, or returns the claim that is there. Ours is the one with our token, so this is safe to send twice.
INSERT INTO claims (request_id, number, token, holder, state)
VALUES (%(request_id)s, %(number)s, %(token)s, %(holder)s, 'claimed')
ON CONFLICT (request_id, number) DO UPDATE SET holder = claims.holder
RETURNING token, state, attempt;

-- name: answer
-- Keeps what came of a claimed attempt, unless it was given up meanwhile. The first answer stays.
UPDATE claims SET
    state = 'answered',
    attempt = coalesce(attempt, %(attempt)s),
    answer = CASE state WHEN 'claimed' THEN %(answer)b ELSE answer END,
    media_type = CASE state WHEN 'claimed' THEN %(media_type)s ELSE media_type END,
    ended_at = coalesce(ended_at, now())
 WHERE request_id = %(request_id)s AND number = %(number)s AND state <> 'given_up'
RETURNING true AS kept;

-- name: give_up
-- Closes a claim that has no answer, even one that is not there yet, so that neither a late answer nor a late claim gets
-- through; returns the attempt where there was an answer.
INSERT INTO claims (request_id, number, token, holder, state, ended_at)
VALUES (%(request_id)s, %(number)s, %(token)s, '', 'given_up', now())
ON CONFLICT (request_id, number) DO UPDATE SET
    state = CASE claims.state WHEN 'claimed' THEN 'given_up' ELSE claims.state END,
    ended_at = coalesce(claims.ended_at, now())
RETURNING attempt;

-- name: result
-- The answer of the attempt that succeeded, and what it is.
SELECT answer, media_type FROM claims
 WHERE request_id = %(request_id)s AND answer IS NOT NULL
 ORDER BY number DESC
 LIMIT 1;

-- name: forget
-- Deletes the answers of a request that was deleted.
DELETE FROM claims WHERE request_id = %(request_id)s;

-- name: expire
-- Deletes some answers that were kept before a moment, and claims that nobody ever answered or gave up.
DELETE FROM claims WHERE (request_id, number) IN (
    SELECT request_id, number FROM claims WHERE coalesce(ended_at, claimed_at) < %(before)s LIMIT 10000
) RETURNING 1;
