-- Limits over all replicas.

-- name: draw
-- Takes tokens out of some buckets: a replica does it ahead of need, for many requests at once.
SELECT tokens, level
  FROM draw_tokens(
    %(keys)s::text[], %(rates)s::float8[], %(bursts)s::float8[], %(leasts)s::float8[], %(mosts)s::float8[],
    %(owed)s::float8[]);

-- name: put_back
-- Puts back what a replica has drawn and not used before its lease was over. Rows are locked in the order of their keys, as
-- `draw` does it: so no two replicas wait for each other.
WITH told AS MATERIALIZED (
  SELECT * FROM unnest(%(keys)s::text[], %(rates)s::float8[], %(bursts)s::float8[], %(tokens)s::float8[])
    AS t(key, rate, burst, tokens)
), locked AS MATERIALIZED (
  SELECT key FROM buckets WHERE key = ANY(%(keys)s::text[]) ORDER BY key FOR UPDATE
)
UPDATE buckets b
   SET level = least(
         told.burst,
         b.level + told.tokens + told.rate * greatest(0, extract(epoch FROM clock_timestamp() - b.at))),
       at = greatest(b.at, clock_timestamp())
  FROM told JOIN locked USING (key)
 WHERE b.key = told.key;

-- name: queue
-- Gives a job the next place in the line for a bucket; returns in how many seconds its turn comes. A bucket that is not
-- there is full, and nobody stands in line for it.
INSERT INTO buckets AS b (key, level, at, full_at, queue_at)
VALUES (
    %(key)s, %(burst)s, clock_timestamp(), clock_timestamp(),
    clock_timestamp() + make_interval(secs => %(cost)s / %(rate)s))
ON CONFLICT (key) DO UPDATE
   SET queue_at = least(
         clock_timestamp() + interval '1 day',
         make_interval(secs => %(cost)s / %(rate)s)
         + greatest(
             b.queue_at,
             clock_timestamp() + make_interval(secs => greatest(
               0,
               (least(%(cost)s, %(burst)s) - b.level) / %(rate)s
               - greatest(0, extract(epoch FROM clock_timestamp() - b.at))))))
RETURNING extract(epoch FROM queue_at - clock_timestamp())::float8 - %(cost)s / %(rate)s AS seconds;

-- name: hold
-- Says how many slots a replica holds, and how many the others do: with every call that finds none free, and every second.
SELECT held, others
  FROM hold_slots(
    %(holder)s, %(keys)s::text[], %(limits)s::integer[], %(in_use)s::integer[], %(mosts)s::integer[], %(expiry)s);

-- name: expire
-- Forgets some buckets that are full again and that nobody waits for: an unknown bucket is full.
DELETE FROM buckets WHERE key IN (
    SELECT key FROM buckets
     WHERE full_at < now() - interval '1 minute' AND coalesce(queue_at, full_at) < now()
     LIMIT 10000
) AND full_at < now() - interval '1 minute'
RETURNING 1;
