-- What processes tell each other of this moment.

-- name: exchange
-- Keeps what one replica tells and returns what the others told since, in one round trip: each process asks about once a
-- second. There is always a row, for the time; a statement that is sent twice keeps its rows once.
WITH told AS (
  INSERT INTO live_deltas (replica, first, number, at, facts)
  SELECT %(replica)s, t.* FROM unnest(
    %(firsts)b::bigint[], %(numbers)b::bigint[], %(ats)b::timestamptz[], %(facts)b::bytea[]) AS t
  ON CONFLICT DO NOTHING
), minutes AS (
  INSERT INTO live_minutes (replica, first, number, at, facts)
  SELECT %(replica)s, m.* FROM unnest(
    %(minute_firsts)b::bigint[], %(minute_numbers)b::bigint[], %(minute_ats)b::timestamptz[],
    %(minute_facts)b::bytea[]) AS m
  ON CONFLICT DO NOTHING
)
SELECT clock.now, d.replica, d.first, d.number, d.at, d.facts
  FROM (SELECT clock_timestamp() AS now) AS clock
  LEFT JOIN (
    SELECT live_deltas.*
      FROM live_deltas
      LEFT JOIN unnest(%(others)b::text[], %(heard)b::bigint[]) AS last(replica, number) USING (replica)
     WHERE live_deltas.written_at > %(since)s::timestamptz
       AND live_deltas.replica <> %(replica)s
       AND live_deltas.number > coalesce(last.number, 0)
  ) AS d ON true
 ORDER BY d.replica, d.number;

-- name: history
-- The last hour: by the minute up to six minutes ago, by the second from then on and where a minute is missing. A fresh
-- process asks once, and one that was cut off from the database for long.
WITH clock AS (
  SELECT now, now - interval '6 minutes' AS recent, now - interval '61 minutes' AS oldest
    FROM (SELECT clock_timestamp() AS now) AS c
), told AS (
  SELECT m.replica, m.first, m.number, m.at, m.facts
    FROM live_minutes AS m, clock
   WHERE m.at > clock.oldest AND m.at <= clock.recent
  UNION ALL
  SELECT d.replica, d.first, d.number, d.at, d.facts
    FROM live_deltas AS d, clock
   WHERE d.at > clock.oldest
     AND NOT (d.at <= clock.recent AND EXISTS (
       SELECT FROM live_minutes AS m
        WHERE m.replica = d.replica AND d.number BETWEEN m.first AND m.number
          AND m.at > clock.oldest AND m.at <= clock.recent))
)
SELECT clock.now, told.replica, told.first, told.number, told.at, told.facts
  FROM clock LEFT JOIN told ON true
 ORDER BY told.at, told.replica, told.number;

-- name: tidy
-- Deletes some rows that nobody asks for any more: seconds that a minute stands for, and all that is older than an hour.
-- Rows that another process deletes at this moment are left to it.
WITH old AS (
  SELECT d.replica, d.number
    FROM live_deltas AS d
   WHERE d.at < now() - interval '62 minutes'
      OR (d.at < now() - interval '7 minutes' AND EXISTS (
           SELECT FROM live_minutes AS m
            WHERE m.replica = d.replica AND d.number BETWEEN m.first AND m.number
              AND m.at < now() - interval '7 minutes'))
   LIMIT 5000
     FOR UPDATE SKIP LOCKED
), seconds AS (
  DELETE FROM live_deltas USING old
   WHERE live_deltas.replica = old.replica AND live_deltas.number = old.number
  RETURNING 1
), old_minutes AS (
  SELECT m.replica, m.number FROM live_minutes AS m
   WHERE m.at < now() - interval '62 minutes'
   LIMIT 5000
     FOR UPDATE SKIP LOCKED
), minutes AS (
  DELETE FROM live_minutes USING old_minutes
   WHERE live_minutes.replica = old_minutes.replica AND live_minutes.number = old_minutes.number
  RETURNING 1
)
SELECT (SELECT count(*) FROM seconds) + (SELECT count(*) FROM minutes) AS gone;
