-- Usage: the ledger, rolled up.

-- name: roll
-- Adds what has waited longest, requests and corrections of their costs, to the counts of its hours, days and months,
-- and lets it wait no more: one statement, so one transaction, and whoever dies in the middle has done nothing. Returns
-- how many there were. One process at a time does it, lest two wait for each other; nothing would be counted twice.
WITH turn AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock(hashtext('gateway.usage')) AS mine
), taken AS (
  DELETE FROM usage_pending WHERE position IN (
    SELECT position FROM usage_pending WHERE (SELECT mine FROM turn)
     ORDER BY position LIMIT %(most)s FOR UPDATE SKIP LOCKED)
  RETURNING accepted_at, request_id, number, repricing_id
), told AS MATERIALIZED (
  -- LIMIT and OFFSET keep the planner from turning these into joins that read all partitions of the ledger.
  SELECT taken.number, taken.repricing_id, r.* FROM taken, LATERAL (
    SELECT id, accepted_at, date_trunc('hour', accepted_at, 'UTC') AS at, date_trunc('day', accepted_at, 'UTC') AS day,
           caller, served_model, served_provider, kind, status, coalesce(failure_code, '') AS code, attempts, tags,
           1000 * extract(epoch FROM finished_at - accepted_at)::float8 AS total_ms
      FROM requests WHERE accepted_at = taken.accepted_at AND id = taken.request_id LIMIT 1) r
), said AS MATERIALIZED (
  SELECT DISTINCT day, tag.name, tag.value FROM told, jsonb_each_text(tags) tag (name, value)
   WHERE tag.name = ANY(%(tags)s::text[]) AND octet_length(tag.value) <= %(bytes)s
), known AS MATERIALIZED (
  SELECT day, name, value FROM said JOIN usage_tags USING (day, name, value)
), fresh AS MATERIALIZED (
  SELECT day, name, value, row_number() OVER (PARTITION BY day, name ORDER BY value COLLATE "C")
         + (SELECT count(*) FROM usage_tags t WHERE t.day = said.day AND t.name = said.name) AS number
    FROM said LEFT JOIN known USING (day, name, value) WHERE known.day IS NULL
), noted AS (
  INSERT INTO usage_tags (day, name, value) SELECT day, name, value FROM fresh WHERE number <= %(values)s
  ON CONFLICT DO NOTHING
), apart AS MATERIALIZED (
  SELECT day, name, value FROM known UNION ALL SELECT day, name, value FROM fresh WHERE number <= %(values)s
), tagged AS MATERIALIZED (
  SELECT told.*, coalesce(rolled.tags, '{}') AS rolled FROM told, LATERAL (
    SELECT jsonb_object_agg(tag.name, CASE WHEN apart.value IS NULL THEN %(other)s ELSE tag.value END) AS tags
      FROM jsonb_each_text(told.tags) tag (name, value)
      LEFT JOIN apart ON (apart.day, apart.name, apart.value) = (told.day, tag.name, tag.value)
     WHERE tag.name = ANY(%(tags)s::text[])) rolled
), tried AS MATERIALIZED (
  SELECT t.id, t.accepted_at, t.number, t.repricing_id, t.at, t.caller, t.kind, t.status, t.rolled, a.attempt
    FROM tagged t, LATERAL (
      SELECT each AS attempt FROM attempts each
       WHERE accepted_at = t.accepted_at AND request_id = t.id AND number = coalesce(t.number, number) OFFSET 0) a
   WHERE t.attempts > 0
), facts AS MATERIALIZED (
  SELECT at, caller, coalesce(served_model, model, '') AS model, coalesce(served_provider, provider, '') AS provider,
         kind, status, code, rolled AS tags, 1 AS requests, (attempts = 0)::int AS untried, 0 AS attempts,
         0::numeric AS cost_usd, 0 AS cost_unknown, total_ms, NULL::attempts AS attempt
    FROM tagged LEFT JOIN (
      -- As `telling` does in the domain: what lost against an attempt beside it says nothing.
      SELECT DISTINCT ON (id) id, (attempt).model, (attempt).provider
        FROM tried, LATERAL (SELECT (attempt).outcome IN ('succeeded', 'broken', 'cancelled', 'abandoned') AS ends) a
       WHERE (attempt).failure_code IS DISTINCT FROM 'hedge_lost'
       ORDER BY id, ends DESC, CASE WHEN ends THEN -(attempt).number ELSE (attempt).number END DESC
    ) a USING (id)
   WHERE number IS NULL
  UNION ALL
  SELECT at, caller, (attempt).model, (attempt).provider, kind, status, coalesce((attempt).failure_code, ''), rolled,
         0, 0, 1, coalesce((attempt).cost_usd, 0), ((attempt).cost_usd IS NULL)::int, NULL, attempt
    FROM tried WHERE number IS NULL
  UNION ALL
  SELECT at, caller, (attempt).model, (attempt).provider, kind, status, coalesce((attempt).failure_code, ''), rolled,
         0, 0, 0, coalesce(new_usd, 0) - coalesce(old_usd, 0), (new_usd IS NULL)::int - (old_usd IS NULL)::int,
         NULL, NULL
    FROM tried t, LATERAL (
      SELECT old_usd, new_usd FROM corrections
       WHERE accepted_at = t.accepted_at AND request_id = t.id AND number = t.number AND repricing_id = t.repricing_id
      OFFSET 0) c
), sketched AS MATERIALIZED (
  SELECT *, usage_sketch(total_ms) AS latency, usage_sketch((attempt).first_token_ms) AS first_token FROM facts
), hours AS (
  SELECT cut, at, CASE WHEN cut IN ('caller', 'all') THEN caller ELSE '' END AS caller,
         CASE WHEN cut IN ('model', 'model_tags', 'all') THEN model ELSE '' END AS model,
         CASE WHEN cut IN ('model', 'model_tags', 'all') THEN provider ELSE '' END AS provider,
         kind, status, code, CASE WHEN cut IN ('tags', 'model_tags', 'all') THEN tags ELSE '{}' END AS tags,
         sum(requests) AS requests, sum(untried) AS untried, sum(attempts) AS attempts,
         sum(coalesce((attempt).input_tokens, 0)) AS input_tokens,
         sum(coalesce((attempt).output_tokens, 0)) AS output_tokens,
         sum(coalesce((attempt).cached_tokens, 0)) AS cached_tokens,
         sum(coalesce((attempt).reasoning_tokens, 0)) AS reasoning_tokens,
         sum(coalesce((attempt).cache_write_tokens, 0)) AS cache_write_tokens,
         sum(coalesce((attempt).cache_write_1h_tokens, 0)) AS cache_write_1h_tokens,
         sum(coalesce((attempt).audio_input_tokens, 0)) AS audio_input_tokens,
         sum(coalesce((attempt).audio_output_tokens, 0)) AS audio_output_tokens,
         sum(coalesce((attempt).image_input_tokens, 0)) AS image_input_tokens,
         sum(coalesce((attempt).image_output_tokens, 0)) AS image_output_tokens,
         sum(coalesce((attempt).images, 0)) AS images,
         sum(coalesce((attempt).audio_seconds, 0)::numeric) AS audio_seconds,
         sum(coalesce((attempt).characters, 0)) AS characters,
         sum(coalesce((attempt).search_units, 0)) AS search_units,
         sum(CASE WHEN attempts = 1 AND (attempt).input_tokens IS NULL THEN 1 ELSE 0 END) AS usage_unknown,
         sum(coalesce((attempt).usage_estimated, false)::int) AS usage_estimated, sum(cost_usd) AS cost_usd,
         sum(cost_unknown) AS cost_unknown, sum(latency) AS latency, sum(first_token) AS first_token
    FROM sketched, unnest(ARRAY['total', 'model', 'caller', 'tags', 'model_tags', 'all']) cut
   GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
), digested AS MATERIALIZED (
  SELECT hours.*, sha256(convert_to(jsonb_build_array(
           cut, caller, model, provider, kind, status, code, tags)::text, 'UTF8')) AS digest
    FROM hours
), dimensions AS MATERIALIZED (
  SELECT DISTINCT ON (digest) digest, cut, caller, model, provider, kind, status, code, tags FROM digested
), made AS (
  -- The update changes nothing: it makes RETURNING see a row that came into being since this statement began.
  INSERT INTO usage_keys (digest, cut, caller, model, provider, kind, status, code, tags)
  SELECT digest, cut, caller, model, provider, kind, status, code, tags FROM dimensions
   WHERE NOT EXISTS (SELECT FROM usage_keys WHERE usage_keys.digest = dimensions.digest)
  ON CONFLICT (digest) DO UPDATE SET cut = excluded.cut
  RETURNING id, digest
), keys AS MATERIALIZED (
  SELECT id AS key, digest FROM usage_keys JOIN dimensions USING (digest) UNION ALL SELECT id, digest FROM made
), rolled AS (
  INSERT INTO usage (
    grain, cut, key, at, requests, untried, attempts, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
    cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens, image_input_tokens,
    image_output_tokens, images, audio_seconds, characters, search_units, usage_unknown, usage_estimated, cost_usd,
    cost_unknown, latency, first_token)
  SELECT
    grain, cut, key, date_trunc(grain, at, 'UTC'), sum(requests), sum(untried), sum(attempts), sum(input_tokens),
    sum(output_tokens), sum(cached_tokens), sum(reasoning_tokens), sum(cache_write_tokens),
    sum(cache_write_1h_tokens), sum(audio_input_tokens), sum(audio_output_tokens), sum(image_input_tokens),
    sum(image_output_tokens), sum(images), sum(audio_seconds), sum(characters), sum(search_units), sum(usage_unknown),
    sum(usage_estimated), sum(cost_usd), sum(cost_unknown), sum(latency), sum(first_token)
    FROM digested JOIN keys USING (digest), unnest(ARRAY['hour', 'day', 'month']) grain
   GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
  ON CONFLICT (grain, cut, key, at) DO UPDATE SET
    requests = usage.requests + excluded.requests,
    untried = usage.untried + excluded.untried,
    attempts = usage.attempts + excluded.attempts,
    input_tokens = usage.input_tokens + excluded.input_tokens,
    output_tokens = usage.output_tokens + excluded.output_tokens,
    cached_tokens = usage.cached_tokens + excluded.cached_tokens,
    reasoning_tokens = usage.reasoning_tokens + excluded.reasoning_tokens,
    cache_write_tokens = usage.cache_write_tokens + excluded.cache_write_tokens,
    cache_write_1h_tokens = usage.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
    audio_input_tokens = usage.audio_input_tokens + excluded.audio_input_tokens,
    audio_output_tokens = usage.audio_output_tokens + excluded.audio_output_tokens,
    image_input_tokens = usage.image_input_tokens + excluded.image_input_tokens,
    image_output_tokens = usage.image_output_tokens + excluded.image_output_tokens,
    images = usage.images + excluded.images,
    audio_seconds = usage.audio_seconds + excluded.audio_seconds,
    characters = usage.characters + excluded.characters,
    search_units = usage.search_units + excluded.search_units,
    usage_unknown = usage.usage_unknown + excluded.usage_unknown,
    usage_estimated = usage.usage_estimated + excluded.usage_estimated,
    cost_usd = usage.cost_usd + excluded.cost_usd,
    cost_unknown = usage.cost_unknown + excluded.cost_unknown,
    latency = coalesce(usage.latency + excluded.latency, usage.latency, excluded.latency),
    first_token = coalesce(usage.first_token + excluded.first_token, usage.first_token, excluded.first_token)
)
SELECT count(*) AS rolled FROM taken;

-- name: groups
-- The next groups in the order of their labels, each with the keys that belong to it: `by` says what makes a label.
WITH picked AS MATERIALIZED (
  SELECT id, ARRAY[
           CASE %(by_1)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_1)s, '') ELSE '' END,
           CASE %(by_2)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_2)s, '') ELSE '' END,
           CASE %(by_3)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_3)s, '') ELSE '' END,
           CASE %(by_4)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_4)s, '') ELSE '' END,
           CASE %(by_5)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_5)s, '') ELSE '' END,
           CASE %(by_6)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_6)s, '') ELSE '' END,
           CASE %(by_7)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_7)s, '') ELSE '' END,
           CASE %(by_8)s WHEN 'caller' THEN caller WHEN 'model' THEN model WHEN 'provider' THEN provider
             WHEN 'kind' THEN kind WHEN 'status' THEN status WHEN 'code' THEN code
             WHEN 'tag' THEN coalesce(tags ->> %(name_8)s, '') ELSE '' END
         ] COLLATE "C" AS label
    FROM usage_keys
   WHERE cut = %(cut)s
     AND (%(callers)s::text[] IS NULL OR caller = ANY(%(callers)s))
     AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s))
     AND (%(providers)s::text[] IS NULL OR provider = ANY(%(providers)s))
     AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
     AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s))
     AND (%(codes)s::text[] IS NULL OR code = ANY(%(codes)s))
     AND (%(tags)s::jsonpath IS NULL OR tags @@ %(tags)s::jsonpath)
)
SELECT label, array_agg(id) AS keys FROM picked
 WHERE %(after)s::text[] IS NULL OR label > %(after)s::text[] OR (%(again)s AND label = %(after)s::text[])
 GROUP BY label ORDER BY label LIMIT %(groups)s;

-- name: sums
-- The usage of some groups (`keys`, and beside each the number of its group) by buckets of time. The period comes as
-- spans of hours, days and months, chosen so that few rows are read, the buckets by their beginnings.
WITH apart AS (
  SELECT wanted.number,
         (%(starts)s::timestamptz[])[width_bucket(at, %(starts)s::timestamptz[])] AS start,
         code, sum(requests) FILTER (WHERE status IN ('failed', 'expired')) AS errors,
         sum(attempts + untried) AS failures,
         sum(requests) AS requests, sum(attempts) AS attempts, sum(input_tokens) AS input_tokens,
         sum(output_tokens) AS output_tokens, sum(cached_tokens) AS cached_tokens,
         sum(reasoning_tokens) AS reasoning_tokens, sum(cache_write_tokens) AS cache_write_tokens,
         sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(audio_input_tokens) AS audio_input_tokens,
         sum(audio_output_tokens) AS audio_output_tokens, sum(image_input_tokens) AS image_input_tokens,
         sum(image_output_tokens) AS image_output_tokens, sum(images) AS images, sum(audio_seconds) AS audio_seconds,
         sum(characters) AS characters, sum(search_units) AS search_units,
         sum(usage_unknown) AS usage_unknown, sum(usage_estimated) AS usage_estimated, sum(cost_usd) AS cost_usd,
         sum(cost_unknown) AS cost_unknown, sum(latency) AS latency, sum(first_token) AS first_token
    FROM unnest(%(keys)s::int[], %(numbers)s::int[]) wanted (key, number)
    JOIN usage_keys ON usage_keys.id = wanted.key,
         unnest(%(grains)s::text[], %(sinces)s::timestamptz[], %(untils)s::timestamptz[]) span (grain, since, until),
         LATERAL (
           -- OFFSET makes the planner look up each key by the index. It would read whole tables, not knowing the spans.
           SELECT * FROM usage
            WHERE grain = span.grain AND cut = %(cut)s AND key = wanted.key AND at >= span.since AND at < span.until
           OFFSET 0
         ) counts
   GROUP BY 1, 2, 3
)
SELECT number, start, coalesce(sum(errors), 0)::bigint AS errors,
       sum(requests)::bigint AS requests, sum(attempts)::bigint AS attempts,
       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
       sum(cached_tokens)::bigint AS cached_tokens, sum(reasoning_tokens)::bigint AS reasoning_tokens,
       sum(cache_write_tokens)::bigint AS cache_write_tokens,
       sum(cache_write_1h_tokens)::bigint AS cache_write_1h_tokens,
       sum(audio_input_tokens)::bigint AS audio_input_tokens,
       sum(audio_output_tokens)::bigint AS audio_output_tokens,
       sum(image_input_tokens)::bigint AS image_input_tokens,
       sum(image_output_tokens)::bigint AS image_output_tokens, sum(images)::bigint AS images,
       sum(audio_seconds) AS audio_seconds, sum(characters)::bigint AS characters,
       sum(search_units)::bigint AS search_units, sum(usage_unknown)::bigint AS usage_unknown,
       sum(usage_estimated)::bigint AS usage_estimated, sum(cost_usd) AS cost_usd,
       sum(cost_unknown)::bigint AS cost_unknown, numeric_send(sum(latency)) AS latency,
       numeric_send(sum(first_token)) AS first_token,
       jsonb_object_agg(code, failures) FILTER (WHERE code <> '' AND failures > 0) AS codes
  FROM apart GROUP BY 1, 2 ORDER BY 1, 2;

-- name: as_of
-- The moment up to which everything is rolled up: when the first of those that wait was entered; now if none waits.
SELECT coalesce((SELECT entered_at FROM usage_pending ORDER BY position LIMIT 1), now()) AS as_of;

-- name: expire
-- Deletes some of the hours and days that are not kept any longer. Some, so that no delete holds others up.
DELETE FROM usage WHERE (grain, cut, key, at) IN (
    SELECT grain, cut, key, at FROM usage
     WHERE grain = 'hour' AND at < %(hours_before)s OR grain = 'day' AND at < %(days_before)s LIMIT 10000
) RETURNING 1;
