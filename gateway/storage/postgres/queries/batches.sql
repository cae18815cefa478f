-- Batches of requests, and their lines.

-- name: create
-- Keeps a batch, or returns the one that is kept under its id. The update changes nothing: RETURNING then sees the row.
INSERT INTO batches (id, caller, endpoint, input_file, time_window, status, created_at, expires_at, reached, metadata, terms)
VALUES (%(id)s, %(caller)s, %(endpoint)s, %(input_file)s, %(time_window)s, %(status)s, %(created_at)s, %(expires_at)s,
        %(reached)s, %(metadata)s, %(terms)b)
ON CONFLICT (id) DO UPDATE SET id = batches.id
RETURNING *;

-- name: get
-- One batch, of a caller if one is said.
SELECT * FROM batches WHERE id = %(id)s AND (%(caller)s::text IS NULL OR caller = %(caller)s);

-- name: find
-- A caller's batches, newest first, by keyset.
SELECT * FROM batches
 WHERE caller = %(caller)s
   AND (%(after)s::uuid IS NULL OR (created_at, id) < (%(after_at)s::timestamptz, %(after)s::uuid))
 ORDER BY created_at DESC, id DESC
 LIMIT %(limit)s;

-- name: move
-- Writes what is said of a batch, if it is where it is expected to be.
UPDATE batches SET
    status = %(status)s,
    reached = reached || %(reached)s,
    problems = %(problems)s,
    output_file = %(output_file)s,
    error_file = %(error_file)s,
    ended_at = %(ended_at)s,
    total = greatest(total, %(total)s)
 WHERE id = %(id)s AND status = ANY(%(expected)s)
RETURNING id;

-- name: add
-- Keeps lines; those that are kept stay as they are.
INSERT INTO batch_lines (batch_id, number, custom_id, at, size, request_id)
SELECT %(batch_id)s, * FROM unnest(
    %(numbers)s::integer[], %(custom_ids)s::text[], %(ats)s::bigint[], %(sizes)s::integer[], %(request_ids)s::uuid[])
ON CONFLICT DO NOTHING;

-- name: lines
-- Lines by their numbers, of one state if one is said.
SELECT number, custom_id, at, size, request_id, state, failure FROM batch_lines
 WHERE batch_id = %(batch_id)s AND number > %(after)s AND (%(state)s::text IS NULL OR state = %(state)s)
 ORDER BY number
 LIMIT %(limit)s;

-- name: mark
-- Says where a line stands; one that has ended stays ended, and is counted once.
WITH marked AS (
    UPDATE batch_lines SET state = %(state)s, failure = %(failure)s
     WHERE batch_id = %(batch_id)s AND number = %(number)s AND state IN ('waiting', 'running')
    RETURNING state
)
UPDATE batches SET
    completed = completed + (SELECT count(*) FROM marked WHERE state = 'completed'),
    failed = failed + (SELECT count(*) FROM marked WHERE state = 'failed')
 WHERE id = %(batch_id)s AND EXISTS (SELECT FROM marked WHERE state IN ('completed', 'failed'));

-- name: collect
-- Marks the lines that run and whose jobs have ended, and counts them.
WITH ended AS (
    UPDATE batch_lines AS l SET state = CASE WHEN j.status = 'completed' THEN 'completed' ELSE 'failed' END
      FROM jobs AS j
     WHERE l.batch_id = %(batch_id)s AND l.state = 'running' AND j.id = l.request_id
       AND j.status IN ('completed', 'failed', 'cancelled', 'expired')
    RETURNING l.state
)
UPDATE batches SET
    completed = completed + (SELECT count(*) FROM ended WHERE state = 'completed'),
    failed = failed + (SELECT count(*) FROM ended WHERE state = 'failed')
 WHERE id = %(batch_id)s AND EXISTS (SELECT FROM ended);

-- name: standing
-- How many lines stand where.
SELECT state, count(*) AS lines FROM batch_lines WHERE batch_id = %(batch_id)s GROUP BY state;

-- name: expire
-- Deletes some batches that ended before a moment, with their lines.
DELETE FROM batches WHERE id IN (
    SELECT id FROM batches WHERE ended_at < %(before)s LIMIT 100
) RETURNING 1;
