-- The events of streams, by their sequence numbers.

-- name: open
-- Begins a log, or takes it over from its last writer; no row if it is closed.
INSERT INTO stream_logs (request_id, writer) VALUES (%(request_id)s, %(writer)s)
    ON CONFLICT (request_id) DO UPDATE SET writer = EXCLUDED.writer
 WHERE NOT stream_logs.closed
RETURNING next_seq;

-- name: append
-- Adds a batch, if its writer is the log's and it is what comes next; the same batch again is done already.
WITH moved AS (
    UPDATE stream_logs SET next_seq = %(last)s::integer + 1, told_at = now()
     WHERE request_id = %(request_id)s AND writer = %(writer)s AND next_seq = %(first)s AND NOT closed
    RETURNING request_id
), added AS (
    INSERT INTO stream_batches (request_id, first_seq, last_seq, lines)
    SELECT request_id, %(first)s, %(last)s, %(lines)b FROM moved
    RETURNING 1
)
SELECT EXISTS (SELECT FROM added) OR EXISTS (
    SELECT FROM stream_batches AS b JOIN stream_logs AS l USING (request_id)
     WHERE b.request_id = %(request_id)s AND b.first_seq = %(first)s AND b.last_seq = %(last)s
       AND l.writer = %(writer)s AND l.next_seq = %(last)s::integer + 1
) AS done;

-- name: close
-- Says that nothing more comes.
UPDATE stream_logs SET closed = true, told_at = now()
 WHERE request_id = %(request_id)s AND writer = %(writer)s
RETURNING request_id;

-- name: read
-- Where a log stands, and its next batches after a sequence number: none of them is one row without lines.
SELECT l.next_seq, l.closed, b.first_seq, b.lines
  FROM stream_logs AS l
  LEFT JOIN LATERAL (
    SELECT first_seq, last_seq, lines FROM stream_batches
     WHERE request_id = l.request_id AND last_seq > %(after)s
     ORDER BY last_seq
     LIMIT %(batches)s
  ) AS b ON true
 WHERE l.request_id = %(request_id)s
 ORDER BY b.last_seq;

-- name: reached
-- How far some logs are: whoever watches many asks once whether there is anything new to read.
SELECT request_id, next_seq FROM stream_logs WHERE request_id = ANY(%(request_ids)s);

-- name: delete
-- Forgets the events of a request.
DELETE FROM stream_logs WHERE request_id = %(request_id)s;

-- name: expire
-- Deletes some logs to which nothing has come since a moment, with their batches.
DELETE FROM stream_logs WHERE request_id IN (
    SELECT request_id FROM stream_logs WHERE told_at < %(before)s LIMIT 1000
) RETURNING 1;
