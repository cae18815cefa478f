-- Conversations and what is said in them.

-- name: create
-- Keeps a new conversation with its first items; safe to do twice.
WITH turn AS MATERIALIZED (
    SELECT nextval('turns') AS number
), kept AS (
    INSERT INTO conversations (id, caller, created_at, kept_until, metadata)
    VALUES (%(id)s, %(caller)s, %(created_at)s, %(kept_until)s, %(metadata)s)
        ON CONFLICT (id) DO NOTHING
    RETURNING id, caller
)
INSERT INTO response_items (caller, id, conversation, turn, output, place, data)
SELECT kept.caller, i.id, kept.id, turn.number, false, i.place, i.data
  FROM kept, turn, unnest(%(ids)s::text[], %(items)b::bytea[]) WITH ORDINALITY AS i (id, data, place);

-- name: get
-- One conversation of a caller's.
SELECT * FROM conversations WHERE id = %(id)s AND caller = %(caller)s;

-- name: update
-- Gives a conversation other metadata.
UPDATE conversations SET metadata = %(metadata)s, kept_until = greatest(kept_until, %(kept_until)s)
 WHERE id = %(id)s AND caller = %(caller)s
RETURNING *;

-- name: delete
-- Forgets a conversation, and its items but for those of responses that are kept.
WITH gone AS (
    DELETE FROM conversations WHERE id = %(id)s AND caller = %(caller)s RETURNING id
), forgotten AS (
    DELETE FROM response_items WHERE conversation IN (SELECT id FROM gone) AND response IS NULL
), freed AS (
    UPDATE response_items SET conversation = NULL
     WHERE conversation IN (SELECT id FROM gone) AND response IS NOT NULL
)
SELECT id FROM gone;

-- name: add
-- Adds items at the end of a conversation.
WITH turn AS MATERIALIZED (
    SELECT nextval('turns') AS number
), kept AS (
    UPDATE conversations SET kept_until = greatest(kept_until, %(kept_until)s)
     WHERE id = %(id)s AND caller = %(caller)s
    RETURNING id, caller
), added AS (
    INSERT INTO response_items (caller, id, conversation, turn, output, place, data)
    SELECT kept.caller, i.id, kept.id, turn.number, false, i.place, i.data
      FROM kept, turn, unnest(%(ids)s::text[], %(items)b::bytea[]) WITH ORDINALITY AS i (id, data, place)
)
SELECT id FROM kept;

-- name: renew
-- Keeps a conversation at least until a moment, and says how many bytes its items have.
WITH kept AS (
    UPDATE conversations SET kept_until = greatest(kept_until, %(kept_until)s)
     WHERE id = %(id)s AND caller = %(caller)s
    RETURNING id
)
SELECT (SELECT coalesce(sum(octet_length(data)), 0) FROM response_items WHERE conversation = kept.id) AS bytes FROM kept;

-- name: said
-- All items of a conversation, in order.
SELECT id, data FROM response_items WHERE conversation = %(id)s AND caller = %(caller)s ORDER BY turn, output, place;

-- name: page
-- Some items of a conversation, oldest first.
SELECT id, data FROM response_items
 WHERE conversation = %(id)s AND (%(turn)s::bigint IS NULL OR (turn, output, place) > (%(turn)s, %(output)s, %(place)s))
 ORDER BY turn, output, place
 LIMIT %(limit)s;

-- name: page_back
-- Some items of a conversation, newest first.
SELECT id, data FROM response_items
 WHERE conversation = %(id)s AND (%(turn)s::bigint IS NULL OR (turn, output, place) < (%(turn)s, %(output)s, %(place)s))
 ORDER BY turn DESC, output DESC, place DESC
 LIMIT %(limit)s;

-- name: item
-- The newest item of an id in a conversation, and where it stands.
SELECT number, id, data, turn, output, place FROM response_items
 WHERE conversation = %(conversation)s AND caller = %(caller)s AND id = %(id)s
 ORDER BY number DESC
 LIMIT 1;

-- name: remove
-- Takes an item out of a conversation; a response that is kept keeps it.
WITH gone AS (
    DELETE FROM response_items
     WHERE conversation = %(conversation)s AND caller = %(caller)s AND id = %(id)s AND response IS NULL
    RETURNING id
), freed AS (
    UPDATE response_items SET conversation = NULL
     WHERE conversation = %(conversation)s AND caller = %(caller)s AND id = %(id)s AND response IS NOT NULL
    RETURNING id
)
SELECT id FROM gone UNION ALL SELECT id FROM freed;

-- name: expire
-- Forgets some conversations that need not be kept any longer.
WITH gone AS (
    DELETE FROM conversations WHERE id IN (
        SELECT id FROM conversations WHERE kept_until < %(now)s LIMIT 1000
    ) RETURNING id
), forgotten AS (
    DELETE FROM response_items WHERE conversation IN (SELECT id FROM gone) AND response IS NULL
), freed AS (
    UPDATE response_items SET conversation = NULL
     WHERE conversation IN (SELECT id FROM gone) AND response IS NOT NULL
)
SELECT id FROM gone;
