-- Rules that are tried on logged requests.

-- name: begin
-- Keeps one that is asked for, or returns the one of its id; no row if its actor has another one that has not ended.
WITH kept AS (
    INSERT INTO simulations (id, text, version, digest, since, until, most, actor, created_at)
    VALUES (%(id)s, %(text)s, %(version)s, %(digest)s, %(since)s, %(until)s, %(most)s, %(actor)s, %(created_at)s)
    ON CONFLICT DO NOTHING
    RETURNING *
)
SELECT * FROM kept UNION ALL SELECT * FROM simulations WHERE id = %(id)s;

-- name: get
-- One of them.
SELECT * FROM simulations WHERE id = %(id)s;

-- name: unfinished
-- The one of an actor that has not ended.
SELECT * FROM simulations WHERE actor = %(actor)s AND status IN ('queued', 'in_progress');

-- name: take
-- A worker takes one up, from its beginning: whoever worked at it before is told so when it next says how far it is.
UPDATE simulations SET status = 'in_progress', run = %(run)s, done = 0, total = NULL
 WHERE id = %(id)s AND status IN ('queued', 'in_progress')
RETURNING *;

-- name: advance
-- How far a run is, if it is still the one that works.
UPDATE simulations SET done = %(done)s, total = greatest(%(done)s, %(total)s)
 WHERE id = %(id)s AND status = 'in_progress' AND run = %(run)s
RETURNING id;

-- name: end
-- Ends one, unless it has ended; with a run, only if that is still the one that works.
UPDATE simulations
   SET status = %(status)s, error = %(error)s, report = %(report)s::jsonb, completed_at = now()
 WHERE id = %(id)s AND status IN ('queued', 'in_progress') AND (%(run)s::text IS NULL OR run = %(run)s);

-- name: expire
-- Deletes some that ended before a moment.
DELETE FROM simulations WHERE id IN (
    SELECT id FROM simulations WHERE completed_at < %(before)s LIMIT 10000
) RETURNING 1;

-- name: stretch
-- How many the newest requests of a period are, up to a number of them, and the oldest of those.
WITH newest AS MATERIALIZED (
    SELECT accepted_at, id FROM requests
     WHERE accepted_at >= %(since)s AND accepted_at < %(until)s
     ORDER BY accepted_at DESC, id DESC
     LIMIT %(most)s
)
SELECT accepted_at, id, (SELECT count(*) FROM newest) AS total FROM newest ORDER BY accepted_at, id LIMIT 1;

-- name: logged
-- The next requests of a period after a place, as far as they can be decided again. The first bound is said as one of
-- accepted_at alone too: partitions are left out by that, not by comparing two columns.
SELECT id, accepted_at, deadline, kind, mode, durability, door, endpoint, caller, model, tags, metadata, facts
  FROM requests
 WHERE accepted_at >= %(from)s AND accepted_at < %(until)s
   AND (%(after)s::uuid IS NULL OR (accepted_at, id) > (%(from)s, %(after)s::uuid))
 ORDER BY accepted_at, id
 LIMIT %(limit)s;

-- name: attempts
-- What was tried for requests that were accepted between two moments, at the costs that hold; failures by their codes.
SELECT a.request_id, a.number, a.model, a.provider, a.upstream_model, a.reason, a.outcome, a.started_at, a.total_ms,
       a.first_token_ms, a.finish_reason, NULL AS provider_request_id, a.input_tokens, a.output_tokens,
       a.cached_tokens, a.reasoning_tokens, a.usage_estimated, a.cache_write_tokens, a.cache_write_1h_tokens,
       a.audio_input_tokens, a.audio_output_tokens, a.image_input_tokens, a.image_output_tokens, a.images,
       a.audio_seconds, a.characters, a.search_units, a.failure_code, '' AS failure_message,
       NULL AS failure_detail, NULL AS failure_param, a.failure_status, a.failure_retryable, a.failure_retry_after_ms,
       CASE WHEN c.repricing_id IS NULL THEN a.cost_usd ELSE c.new_usd END AS cost_usd
  FROM attempts AS a
  LEFT JOIN LATERAL (
    SELECT new_usd, repricing_id FROM corrections
     WHERE accepted_at = a.accepted_at AND request_id = a.request_id AND number = a.number
     ORDER BY repricing_id DESC
     LIMIT 1
  ) AS c ON true
 WHERE a.accepted_at BETWEEN %(earliest)s AND %(latest)s
 ORDER BY a.accepted_at, a.request_id, a.number;
