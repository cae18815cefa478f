-- Who changed what.

-- name: add
-- Writes a line, in the transaction of the change.
INSERT INTO audit (actor, noun, name, action, before, after)
VALUES (%(actor)s, %(noun)s, %(name)s, %(action)s, %(before)s::jsonb, %(after)s::jsonb);

-- name: find
-- A page of changes, newest first.
SELECT id, at, actor, noun, name, action, before, after FROM audit
 WHERE (%(noun)s::text IS NULL OR noun = %(noun)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(after)s::bigint IS NULL OR id < %(after)s)
 ORDER BY id DESC LIMIT %(limit)s;
