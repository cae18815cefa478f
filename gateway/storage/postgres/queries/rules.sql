-- The versions of the rules. Every change takes the lock first, so that what it looked at still holds when it writes.

-- name: lock
-- Lets one transaction at a time publish, over all replicas.
SELECT pg_advisory_xact_lock(hashtext('gateway.rules'));

-- name: current
-- The version in force: that of the newest publication.
SELECT v.*, true AS in_force, p.at AS since
  FROM rule_publications AS p JOIN rule_versions AS v USING (number)
 ORDER BY p.id DESC LIMIT 1;

-- name: get
-- One version, and whether and since when it is in force.
SELECT v.*, v.number = (SELECT number FROM rule_publications ORDER BY id DESC LIMIT 1) AS in_force,
       (SELECT max(at) FROM rule_publications AS p WHERE p.number = v.number) AS since
  FROM rule_versions AS v WHERE v.number = %(number)s;

-- name: find
-- A page of versions, newest first.
SELECT v.*, v.number = (SELECT number FROM rule_publications ORDER BY id DESC LIMIT 1) AS in_force,
       (SELECT max(at) FROM rule_publications AS p WHERE p.number = v.number) AS since
  FROM rule_versions AS v
 WHERE %(after)s::bigint IS NULL OR v.number < %(after)s
 ORDER BY v.number DESC LIMIT %(limit)s;

-- name: add
-- Keeps a text as the next version, and returns its number.
INSERT INTO rule_versions (number, text, digest, author, note)
SELECT coalesce(max(number), 0) + 1, %(text)s, %(digest)s, %(actor)s, %(note)s FROM rule_versions
RETURNING number;

-- name: put_in_force
-- Puts a version in force.
INSERT INTO rule_publications (number, actor, note) VALUES (%(number)s, %(actor)s, %(note)s);
