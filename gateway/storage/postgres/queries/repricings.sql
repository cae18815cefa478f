-- Periods that are priced anew, and the corrections that come of it.

-- name: begin
-- Keeps one that begins, or returns the one of its id; no row if another one is in progress that writes too. The lock of
-- `prices.lock` is held, so that no price is being added that was kept before this one was asked.
WITH kept AS (
    INSERT INTO repricings (id, since, until, models, dry_run, reason, actor)
    SELECT %(id)s, %(since)s, %(until)s, %(models)s, %(dry_run)s, %(reason)s, %(actor)s
     WHERE %(dry_run)s
        OR NOT EXISTS (SELECT FROM repricings WHERE status = 'in_progress' AND NOT dry_run)
    ON CONFLICT (id) DO NOTHING
    RETURNING *
)
SELECT * FROM kept UNION ALL SELECT * FROM repricings WHERE id = %(id)s;

-- name: get
-- One of them.
SELECT * FROM repricings WHERE id = %(id)s;

-- name: find
-- A page of them, newest first.
SELECT * FROM repricings
 WHERE %(after)s::uuid IS NULL OR (asked_at, id) < (%(after_at)s::timestamptz, %(after)s::uuid)
 ORDER BY asked_at DESC, id DESC
 LIMIT %(limit)s;

-- name: stretch
-- Where the next so many attempts of a period end, whatever models they are of: then no statement takes long, however few
-- attempts of the models there are. No row if there are fewer. The first bound is said as one of accepted_at alone too:
-- partitions are left out by that, not by comparing several columns.
SELECT accepted_at, request_id, number FROM attempts
 WHERE accepted_at >= %(from)s AND accepted_at < %(until)s
   AND (%(request)s::uuid IS NULL
        OR (accepted_at, request_id, number) > (%(from)s, %(request)s::uuid, %(number)s::integer))
 ORDER BY accepted_at, request_id, number
OFFSET %(limit)s - 1 LIMIT 1;

-- name: attempts
-- The attempts of some models in a stretch of the ledger, each with what it costs so far.
SELECT a.*, CASE WHEN c.repricing_id IS NULL THEN a.cost_usd ELSE c.new_usd END AS effective_usd
  FROM attempts AS a
  LEFT JOIN LATERAL (
    SELECT new_usd, repricing_id FROM corrections
     WHERE accepted_at = a.accepted_at AND request_id = a.request_id AND number = a.number
     ORDER BY repricing_id DESC
     LIMIT 1
  ) AS c ON true
 WHERE a.accepted_at >= %(from)s AND a.accepted_at < %(until)s
   AND (%(request)s::uuid IS NULL
        OR (a.accepted_at, a.request_id, a.number) > (%(from)s, %(request)s::uuid, %(number)s::integer))
   AND (%(last_request)s::uuid IS NULL
        OR a.accepted_at <= %(last)s
           AND (a.accepted_at, a.request_id, a.number) <= (%(last)s, %(last_request)s::uuid, %(last_number)s::integer))
   AND (%(models)s::text[] IS NULL OR a.model = ANY (%(models)s))
 ORDER BY a.accepted_at, a.request_id, a.number;

-- name: advance
-- Moves one on, if it is still where it was when its attempts were read, and adds to its sums.
UPDATE repricings SET
    at_accepted = %(at_accepted)s, at_request = %(at_request)s, at_number = %(at_number)s,
    looked_at = looked_at + %(looked_at)s, changed = changed + %(changed)s, unknown = unknown + %(unknown)s,
    old_usd = old_usd + %(old_usd)s, new_usd = new_usd + %(new_usd)s
 WHERE id = %(id)s AND status = 'in_progress'
   AND (at_accepted, at_request, at_number)
       IS NOT DISTINCT FROM (%(was_accepted)s::timestamptz, %(was_request)s::uuid, %(was_number)s::integer)
RETURNING id;

-- name: correct
-- Keeps corrections, which come as JSON.
INSERT INTO corrections (accepted_at, request_id, number, repricing_id, model, old_usd, new_usd)
SELECT accepted_at, request_id, number, %(id)s, model, old_usd, new_usd
  FROM json_populate_recordset(NULL::corrections, %(corrections)s::json);

-- name: end
-- Ends one, unless it has ended.
UPDATE repricings SET status = %(status)s, failure = %(failure)s, finished_at = now()
 WHERE id = %(id)s AND status = 'in_progress';

-- name: corrections
-- What one corrected, in the order of places.
SELECT * FROM corrections
 WHERE repricing_id = %(id)s
   AND (%(request)s::uuid IS NULL
        OR (accepted_at, request_id, number) > (%(accepted)s::timestamptz, %(request)s::uuid, %(number)s::integer))
 ORDER BY accepted_at, request_id, number
 LIMIT %(limit)s;
