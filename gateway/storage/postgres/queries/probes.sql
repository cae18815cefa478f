-- Active probes of models.

-- name: claim
-- Takes the turn for some models that are due: a model that another process claims at this moment is left to it. Each of
-- the processes asks now and then.
WITH wanted AS (
  SELECT unnest(%(models)b::text[]) AS model
), fresh AS (
  INSERT INTO probes (model, next_at, holder)
  SELECT model, clock_timestamp() + %(every)s::interval * (0.8 + 0.4 * random()), %(holder)s FROM wanted
   WHERE NOT EXISTS (SELECT FROM probes WHERE probes.model = wanted.model)
   LIMIT %(most)s
  ON CONFLICT DO NOTHING
  RETURNING model
), due AS (
  SELECT p.model FROM probes AS p JOIN wanted USING (model)
   WHERE p.next_at <= clock_timestamp()
   ORDER BY p.next_at, p.model
   LIMIT %(most)s - (SELECT count(*) FROM fresh)
     FOR UPDATE OF p SKIP LOCKED
), taken AS (
  UPDATE probes SET
    next_at = clock_timestamp() + %(every)s::interval * (0.8 + 0.4 * random()),
    holder = %(holder)s
    FROM due WHERE due.model = probes.model
  RETURNING probes.model
)
SELECT model FROM fresh UNION ALL SELECT model FROM taken;

-- name: spend
-- Reserves what a probe may cost, if this day's budget still holds it.
INSERT INTO probe_spend AS today (day, usd)
SELECT (now() AT TIME ZONE 'UTC')::date, %(usd)s::numeric WHERE %(usd)s::numeric <= %(most)s::numeric
ON CONFLICT (day) DO UPDATE SET usd = today.usd + excluded.usd WHERE today.usd + excluded.usd <= %(most)s::numeric
RETURNING true AS reserved;

-- name: correct
-- Adds to what this day's probes have cost what was not reserved, or gives back what was not spent.
INSERT INTO probe_spend AS today (day, usd)
VALUES ((now() AT TIME ZONE 'UTC')::date, greatest(0, %(usd)s::numeric))
ON CONFLICT (day) DO UPDATE SET usd = greatest(0, today.usd + %(usd)s::numeric);

-- name: told
-- Keeps what the last probe of a model said.
UPDATE probes SET at = clock_timestamp(), ok = %(ok)s, code = %(code)s WHERE model = %(model)s;
