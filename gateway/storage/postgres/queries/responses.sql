-- Responses that are kept for the next turn, with their items.

-- name: keep
-- Keeps a response: a new one with its inputs, or how one that was under way stands now; one that has ended stays so.
WITH turn AS MATERIALIZED (
    SELECT nextval('turns') AS number
), kept AS (
    INSERT INTO responses AS r
        (id, caller, status, created_at, kept_until, body, previous, conversation, background, streamed)
    VALUES (%(id)s, %(caller)s, %(status)s, %(created_at)s, %(kept_until)s, %(body)b, %(previous)s, %(conversation)s,
            %(background)s, %(streamed)s)
        ON CONFLICT (id) DO UPDATE
       SET status = EXCLUDED.status, body = EXCLUDED.body, kept_until = EXCLUDED.kept_until
     WHERE r.caller = EXCLUDED.caller AND r.status IN ('queued', 'in_progress')
    RETURNING r.id, r.caller, r.xmax = 0 AS new,
              CASE WHEN %(said)s THEN r.conversation END AS conversation,
              r.status NOT IN ('queued', 'in_progress') AS ended
), talked AS (
    UPDATE conversations SET kept_until = greatest(kept_until, %(kept_until)s)
     WHERE id = (SELECT conversation FROM kept WHERE ended) AND caller = %(caller)s
    RETURNING id
), given AS (
    INSERT INTO response_items (caller, id, response, conversation, turn, output, place, data)
    SELECT kept.caller, i.id, kept.id, (SELECT id FROM talked), turn.number, false, i.place, i.data
      FROM kept, turn, unnest(%(input_ids)s::text[], %(inputs)b::bytea[]) WITH ORDINALITY AS i (id, data, place)
     WHERE kept.new
    RETURNING 1
), answered AS (
    INSERT INTO response_items (caller, id, response, conversation, turn, output, place, data)
    SELECT kept.caller, i.id, kept.id, (SELECT id FROM talked), turn.number, true, i.place, i.data
      FROM kept, turn, unnest(%(output_ids)s::text[], %(outputs)b::bytea[]) WITH ORDINALITY AS i (id, data, place)
     WHERE kept.ended
    RETURNING 1
), joined AS (
    UPDATE response_items SET conversation = (SELECT id FROM talked), turn = turn.number
      FROM kept, turn
     WHERE response = kept.id AND NOT kept.new AND kept.ended
    RETURNING 1
)
SELECT id FROM kept;

-- name: get
-- One response of a caller's.
SELECT * FROM responses WHERE id = %(id)s AND caller = %(caller)s;

-- name: line
-- A response and those before it, the last first; `bytes` of the items of all of them.
WITH RECURSIVE line AS (
    SELECT id, previous, conversation, kept_until, 0 AS back
      FROM responses WHERE id = %(id)s AND caller = %(caller)s
    UNION ALL
    SELECT r.id, r.previous, r.conversation, r.kept_until, l.back + 1
      FROM line AS l JOIN responses AS r ON r.id = l.previous AND r.caller = %(caller)s
)
SELECT line.*,
       (SELECT coalesce(sum(octet_length(data)), 0) FROM response_items WHERE response IN (SELECT id FROM line)) AS bytes
  FROM line
 ORDER BY back;

-- name: said
-- The items of a line of responses, in order.
SELECT i.id, i.data
  FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS l (id, place)
  JOIN response_items AS i ON i.response = l.id
 ORDER BY l.place, i.output, i.place;

-- name: earlier
-- What was said in a conversation before the response of it.
SELECT id, data FROM response_items
 WHERE conversation = %(conversation)s AND caller = %(caller)s
   AND turn < (SELECT min(turn) FROM response_items WHERE response = %(id)s)
 ORDER BY turn, output, place;

-- name: renew
-- Keeps responses at least until a moment.
UPDATE responses SET kept_until = %(kept_until)s WHERE id = ANY(%(ids)s) AND kept_until < %(kept_until)s;

-- name: inputs
-- Some input items of a response, oldest first.
SELECT id, data FROM response_items
 WHERE response = %(id)s AND NOT output AND (%(after)s::integer IS NULL OR place > %(after)s)
 ORDER BY place
 LIMIT %(limit)s;

-- name: inputs_back
-- Some input items of a response, newest first.
SELECT id, data FROM response_items
 WHERE response = %(id)s AND NOT output AND (%(after)s::integer IS NULL OR place < %(after)s)
 ORDER BY place DESC
 LIMIT %(limit)s;

-- name: input_place
-- Where an input item stands.
SELECT place FROM response_items WHERE response = %(id)s AND NOT output AND id = %(item)s ORDER BY place LIMIT 1;

-- name: items
-- The newest of each of these items of a caller's.
SELECT DISTINCT ON (id) id, data FROM response_items
 WHERE caller = %(caller)s AND id = ANY(%(ids)s)
 ORDER BY id, number DESC;

-- name: delete
-- Forgets a response; what is part of a conversation stays in it.
WITH gone AS (
    DELETE FROM responses WHERE id = %(id)s AND caller = %(caller)s RETURNING id
), forgotten AS (
    DELETE FROM response_items WHERE response IN (SELECT id FROM gone) AND conversation IS NULL
), freed AS (
    UPDATE response_items SET response = NULL
     WHERE response IN (SELECT id FROM gone) AND conversation IS NOT NULL
)
SELECT id FROM gone;

-- name: expire
-- Forgets some responses that need not be kept any longer.
WITH gone AS (
    DELETE FROM responses WHERE id IN (
        SELECT id FROM responses WHERE kept_until < %(now)s LIMIT 1000
    ) RETURNING id
), forgotten AS (
    DELETE FROM response_items WHERE response IN (SELECT id FROM gone) AND conversation IS NULL
), freed AS (
    UPDATE response_items SET response = NULL
     WHERE response IN (SELECT id FROM gone) AND conversation IS NOT NULL
)
SELECT id FROM gone;
