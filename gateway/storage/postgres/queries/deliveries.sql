-- The tries to tell callers of their finished jobs.

-- name: note
-- Keeps a try; the same one again changes nothing.
INSERT INTO deliveries (job_id, channel, run, number, at, target, outcome, took_ms, by_hand, status, code, message, next_at)
VALUES (%(job_id)s, %(channel)s, %(run)s, %(number)s, %(at)s, %(target)s, %(outcome)s, %(took_ms)s, %(by_hand)s,
        %(status)s, %(code)s, %(message)s, %(next_at)s)
ON CONFLICT (job_id, channel, run, number) DO NOTHING;

-- name: of
-- All tries to tell of a job, the first one first.
SELECT * FROM deliveries WHERE job_id = %(job_id)s ORDER BY at, channel, number;

-- name: expire
-- Deletes some tries that lie before a moment, whose jobs are gone by then. Some, so that no delete holds others up.
DELETE FROM deliveries WHERE (job_id, channel, run, number) IN (
    SELECT d.job_id, d.channel, d.run, d.number FROM deliveries AS d
     WHERE d.at < %(before)s AND NOT EXISTS (SELECT FROM jobs WHERE jobs.id = d.job_id)
     LIMIT 10000
) RETURNING 1;
