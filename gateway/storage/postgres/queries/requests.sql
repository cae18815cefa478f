-- The ledger and the prompt log.

-- name: settle
-- Enters a batch of ended requests with their attempts, texts and decisions, each request exactly once; returns the ids that were
-- new. One statement, so one transaction and one round trip; rows come as JSON, texts as arrays.
WITH entered AS (
  INSERT INTO requests (
    id, accepted_at, finished_at, deadline, status, kind, mode, durability, endpoint, door, origin, caller, model,
    served_model, served_provider, attempts, candidates, decision, rules_version, limits, tags, metadata, deliver,
    trace_id, traceparent, client_request_id, fingerprint, queue_ms, overhead_ms, finish_reason, input_tokens,
    output_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_usd, failure_code, failure_message,
    failure_detail, failure_param, failure_status, failure_retryable, failure_retry_after_ms, cache_write_tokens,
    cache_write_1h_tokens, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens, images,
    audio_seconds, characters, search_units, registry_version, facts)
  SELECT
    id, accepted_at, finished_at, deadline, status, kind, mode, durability, endpoint, door, origin, caller, model,
    served_model, served_provider, attempts, candidates, decision, rules_version, limits, tags, metadata, deliver,
    trace_id, traceparent, client_request_id, fingerprint, queue_ms, overhead_ms, finish_reason, input_tokens,
    output_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_usd, failure_code, failure_message,
    failure_detail, failure_param, failure_status, failure_retryable, failure_retry_after_ms, cache_write_tokens,
    cache_write_1h_tokens, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens, images,
    audio_seconds, characters, search_units, registry_version, facts
    FROM json_populate_recordset(NULL::requests, %(requests)s::json)
  ON CONFLICT DO NOTHING
  RETURNING accepted_at, id
), tried AS (
  INSERT INTO attempts (
    accepted_at, request_id, number, model, provider, upstream_model, reason, outcome, started_at, total_ms,
    first_token_ms, finish_reason, provider_request_id, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
    usage_estimated, cost_usd, failure_code, failure_message, failure_detail, failure_param, failure_status,
    failure_retryable, failure_retry_after_ms, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens,
    audio_output_tokens, image_input_tokens, image_output_tokens, images, audio_seconds,
    characters, search_units)
  SELECT
    accepted_at, request_id, number, model, provider, upstream_model, reason, outcome, started_at, total_ms,
    first_token_ms, finish_reason, provider_request_id, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
    usage_estimated, cost_usd, failure_code, failure_message, failure_detail, failure_param, failure_status,
    failure_retryable, failure_retry_after_ms, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens,
    audio_output_tokens, image_input_tokens, image_output_tokens, images, audio_seconds,
    characters, search_units
    FROM json_populate_recordset(NULL::attempts, %(attempts)s::json)
    JOIN entered USING (accepted_at) WHERE entered.id = request_id
), kept AS (
  INSERT INTO bodies (accepted_at, request_id, prompt, answer, decisions)
  SELECT accepted_at, entered.id, prompt, answer, decisions::jsonb
    FROM unnest(%(ids)b::text[], %(prompts)b::text[], %(answers)b::text[], %(decisions)b::text[])
           AS b(id, prompt, answer, decisions)
    JOIN entered ON entered.id = b.id::uuid
)
SELECT id FROM entered;

-- name: end_jobs
-- Ends the jobs of requests that were entered, in the same transaction. One that was ended before its acceptance was
-- written (cancelled at once) is kept here: accepting it finds it ended.
INSERT INTO jobs (
  id, caller, endpoint, kind, model, status, created_at, deadline, completed_at, served_model, attempts, input_tokens,
  output_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_usd, failure_code, failure_message,
  failure_detail, failure_param, failure_status, failure_retryable, failure_retry_after_ms, deliver, metadata,
  trace_id, fingerprint, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
  image_input_tokens, image_output_tokens, images, audio_seconds,
  characters, search_units)
SELECT
  id, caller, endpoint, kind, model, status, accepted_at, deadline, finished_at, served_model, attempts, input_tokens,
  output_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_usd, failure_code, failure_message,
  failure_detail, failure_param, failure_status, failure_retryable, failure_retry_after_ms, deliver, metadata,
  trace_id, fingerprint, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
  image_input_tokens, image_output_tokens, images, audio_seconds,
  characters, search_units
  FROM json_populate_recordset(NULL::requests, %(requests)s::json)
ON CONFLICT (id) DO UPDATE SET (
  status, completed_at, served_model, attempts, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
  usage_estimated, cost_usd, failure_code, failure_message, failure_detail, failure_param, failure_status,
  failure_retryable, failure_retry_after_ms, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens,
  audio_output_tokens, image_input_tokens, image_output_tokens, images, audio_seconds,
  characters, search_units) = (
  excluded.status, excluded.completed_at, excluded.served_model, excluded.attempts, excluded.input_tokens,
  excluded.output_tokens, excluded.cached_tokens, excluded.reasoning_tokens, excluded.usage_estimated,
  excluded.cost_usd, excluded.failure_code, excluded.failure_message, excluded.failure_detail,
  excluded.failure_param, excluded.failure_status, excluded.failure_retryable, excluded.failure_retry_after_ms,
  excluded.cache_write_tokens, excluded.cache_write_1h_tokens, excluded.audio_input_tokens,
  excluded.audio_output_tokens, excluded.image_input_tokens, excluded.image_output_tokens, excluded.images,
  excluded.audio_seconds, excluded.characters, excluded.search_units)
WHERE jobs.status IN ('queued', 'in_progress');

-- name: spent
-- What some callers have spent, each in a span of time, by what holds now: budgets ask it at first and then now and then.
SELECT s.place, coalesce(sum(each.usd), 0) AS usd
  FROM unnest(%(callers)b::text[], %(sinces)b::timestamptz[], %(untils)b::timestamptz[])
       WITH ORDINALITY AS s(caller, since, until, place)
  LEFT JOIN LATERAL (
    -- The cost of a request is not known as soon as that of one attempt is not: then the others count.
    SELECT coalesce(r.cost_usd, (
             SELECT sum(a.cost_usd) FROM attempts AS a WHERE a.accepted_at = r.accepted_at AND a.request_id = r.id
           )) AS usd
      FROM requests AS r
     WHERE r.caller = s.caller AND r.accepted_at >= s.since AND r.accepted_at < s.until
     UNION ALL
    SELECT coalesce(c.new_usd, 0) - coalesce(c.old_usd, 0)
      FROM corrections AS c
      JOIN requests AS r ON r.accepted_at = c.accepted_at AND r.id = c.request_id
     WHERE r.caller = s.caller AND c.accepted_at >= s.since AND c.accepted_at < s.until
  ) AS each ON true
 GROUP BY s.place
 ORDER BY s.place;

-- name: get
-- One request by its id. The bounds are one moment where the id says it (a UUIDv7), so that one partition is looked at.
SELECT * FROM requests WHERE id = %(id)s AND accepted_at BETWEEN %(earliest)s AND %(latest)s;

-- name: attempts_of
-- The attempts of some requests that were accepted between two moments, each with its last correction.
SELECT a.*, c.repricing_id, c.new_usd AS corrected_usd
  FROM attempts AS a
  LEFT JOIN LATERAL (
    SELECT new_usd, repricing_id FROM corrections
     WHERE accepted_at = a.accepted_at AND request_id = a.request_id AND number = a.number
     ORDER BY repricing_id DESC
     LIMIT 1
  ) AS c ON true
 WHERE a.accepted_at BETWEEN %(earliest)s AND %(latest)s AND a.request_id = ANY(%(ids)s)
 ORDER BY a.request_id, a.number;

-- name: body_of
-- What was decided about one request and, where they are asked for, what its caller sent and got.
SELECT decisions, CASE WHEN %(with_text)s THEN prompt END AS prompt, CASE WHEN %(with_text)s THEN answer END AS answer
  FROM bodies WHERE accepted_at = %(accepted_at)s AND request_id = %(id)s;

-- name: find
-- Requests of a period, newest first, by keyset. A model is looked for as what was asked and as what served.
SELECT * FROM requests
 WHERE accepted_at >= %(since)s AND accepted_at < %(until)s
   AND (%(after)s::uuid IS NULL OR (accepted_at, id) < (%(after_at)s::timestamptz, %(after)s::uuid))
   AND (%(caller)s::text IS NULL OR caller = %(caller)s)
   AND (%(model)s::text IS NULL OR model = %(model)s OR served_model = %(model)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY accepted_at DESC, id DESC
 LIMIT %(limit)s;

-- name: ensure_partitions
-- Makes the partitions of the month of `now` and of those to come; a daily chore that is safe to do at any time.
SELECT ensure_partitions(%(now)s, %(months_ahead)s) AS made;

-- name: ping
-- Whether the database answers and has been migrated: readiness asks it.
SELECT to_regclass('requests') IS NOT NULL AND to_regclass('models') IS NOT NULL AS migrated;
