-- The jobs as their callers see them. A job is ended by `requests.settle`, together with its ledger row.

-- name: accept
-- Keeps a job, or returns the one that is kept under its id. The update changes nothing: it makes RETURNING see the row.
INSERT INTO jobs (
    id, caller, endpoint, kind, model, status, created_at, deadline, started_at, completed_at, served_model, attempts,
    input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_usd, failure_code,
    failure_message, failure_detail, failure_param, failure_status, failure_retryable, failure_retry_after_ms, deliver,
    metadata, trace_id, fingerprint, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens,
    audio_output_tokens, image_input_tokens, image_output_tokens, images, audio_seconds, characters,
    search_units, priority, not_before)
VALUES (
    %(id)s, %(caller)s, %(endpoint)s, %(kind)s, %(model)s, %(status)s, %(created_at)s, %(deadline)s, %(started_at)s,
    %(completed_at)s, %(served_model)s, %(attempts)s, %(input_tokens)s, %(output_tokens)s, %(cached_tokens)s,
    %(reasoning_tokens)s, %(usage_estimated)s, %(cost_usd)s, %(failure_code)s, %(failure_message)s, %(failure_detail)s,
    %(failure_param)s, %(failure_status)s, %(failure_retryable)s, %(failure_retry_after_ms)s, %(deliver)s,
    %(metadata)s, %(trace_id)s, %(fingerprint)s, %(cache_write_tokens)s, %(cache_write_1h_tokens)s,
    %(audio_input_tokens)s, %(audio_output_tokens)s, %(image_input_tokens)s, %(image_output_tokens)s, %(images)s,
    %(audio_seconds)s, %(characters)s, %(search_units)s, %(priority)s, %(not_before)s)
ON CONFLICT (id) DO UPDATE SET id = jobs.id
RETURNING *;

-- name: begin
-- Marks a queued job as in progress; in any other state it stays as it is.
UPDATE jobs SET status = 'in_progress', started_at = %(at)s WHERE id = %(id)s AND status = 'queued';

-- name: get
-- One job by its id.
SELECT * FROM jobs WHERE id = %(id)s AND deleted_at IS NULL;

-- name: get_many
-- Some jobs by their ids: those that somebody watches, asked for together.
SELECT * FROM jobs WHERE id = ANY(%(ids)s) AND deleted_at IS NULL;

-- name: delete
-- Takes a job that has ended out of sight. The row stays, since its Idempotency-Key is not to begin another.
UPDATE jobs SET deleted_at = now(), deliver = '{}', metadata = '{}'
 WHERE id = %(id)s AND status NOT IN ('queued', 'in_progress') AND deleted_at IS NULL
RETURNING true AS deleted;

-- name: find
-- Jobs newest first, by keyset.
SELECT * FROM jobs
 WHERE (%(after)s::uuid IS NULL OR (created_at, id) < (%(after_at)s::timestamptz, %(after)s::uuid))
   AND (%(caller)s::text IS NULL OR caller = %(caller)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
   AND (%(model)s::text IS NULL OR model = %(model)s OR served_model = %(model)s)
   AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
   AND deleted_at IS NULL
 ORDER BY created_at DESC, id DESC
 LIMIT %(limit)s;

-- name: expire
-- Deletes some jobs that ended before a moment: their retention has passed. Some, so that no delete holds others up.
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE completed_at < %(before)s LIMIT 10000
) RETURNING 1;
