-- The table of prices: only added to.

-- name: lock
-- Lets one transaction at a time add to the table, so that the moments at which rows were kept are in the order of commits.
SELECT pg_advisory_xact_lock(hashtext('gateway.prices'));

-- name: load
-- All rows, or those that were there at a moment: read at start, after each change, and when a period is priced anew.
SELECT * FROM prices
 WHERE %(known_at)s::timestamptz IS NULL OR created_at <= %(known_at)s
 ORDER BY created_at, id;

-- name: get
-- One row by its id.
SELECT * FROM prices WHERE id = %(id)s;

-- name: last
-- The id of a model's newest row.
SELECT id FROM prices WHERE model = %(model)s ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: find
-- A page of rows, newest first.
SELECT * FROM prices
 WHERE (%(model)s::text IS NULL OR model = %(model)s)
   AND (%(after)s::uuid IS NULL OR (created_at, id) < (%(after_at)s::timestamptz, %(after)s::uuid))
 ORDER BY created_at DESC, id DESC
 LIMIT %(limit)s;

-- name: add
-- Keeps a row.
INSERT INTO prices (
    id, model, since, input_usd, output_usd, cached_input_usd, cache_write_usd, cache_write_1h_usd, reasoning_usd,
    audio_input_usd, audio_output_usd, image_input_usd, image_output_usd, image_usd, request_usd, gpu_second_usd,
    audio_hour_usd, million_characters_usd, search_unit_usd, tiers, source, actor, upstream)
VALUES (
    %(id)s, %(model)s, %(since)s, %(input_usd)s, %(output_usd)s, %(cached_input_usd)s, %(cache_write_usd)s,
    %(cache_write_1h_usd)s, %(reasoning_usd)s, %(audio_input_usd)s, %(audio_output_usd)s, %(image_input_usd)s,
    %(image_output_usd)s, %(image_usd)s, %(request_usd)s, %(gpu_second_usd)s, %(audio_hour_usd)s,
    %(million_characters_usd)s, %(search_unit_usd)s, %(tiers)s::jsonb, %(source)s, %(actor)s, %(upstream)s)
RETURNING *;
