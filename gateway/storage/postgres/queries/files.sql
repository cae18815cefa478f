-- Files that callers hand over; their content is sealed.

-- name: create
-- Keeps a file whose content is there.
INSERT INTO files (id, caller, filename, purpose, bytes, created_at, kept_until, store)
VALUES (%(id)s, %(caller)s, %(filename)s, %(purpose)s, %(bytes)s, %(created_at)s, %(kept_until)s, %(store)s)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: get
-- One file of a caller's.
SELECT * FROM files
 WHERE id = %(id)s AND caller = %(caller)s AND (kept_until IS NULL OR kept_until > now());

-- name: newest
-- A caller's files, newest first, by keyset.
SELECT * FROM files
 WHERE caller = %(caller)s AND (kept_until IS NULL OR kept_until > now())
   AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
   AND (%(after)s::uuid IS NULL OR (created_at, id) < (%(after_at)s::timestamptz, %(after)s::uuid))
 ORDER BY created_at DESC, id DESC
 LIMIT %(limit)s;

-- name: oldest
-- A caller's files, oldest first, by keyset.
SELECT * FROM files
 WHERE caller = %(caller)s AND (kept_until IS NULL OR kept_until > now())
   AND (%(purpose)s::text IS NULL OR purpose = %(purpose)s)
   AND (%(after)s::uuid IS NULL OR (created_at, id) > (%(after_at)s::timestamptz, %(after)s::uuid))
 ORDER BY created_at, id
 LIMIT %(limit)s;

-- name: delete
-- Forgets a file.
DELETE FROM files WHERE id = %(id)s AND caller = %(caller)s RETURNING id;

-- name: expired
-- Some files whose time is over.
SELECT * FROM files WHERE kept_until <= %(now)s LIMIT %(limit)s;

-- name: store_of
-- Where a file's content is.
SELECT store FROM files WHERE id = %(id)s;

-- name: known
-- Which of these are files: contents elsewhere that are none were left by an upload that broke off.
SELECT id FROM files WHERE id = ANY(%(ids)s);

-- name: put_part
-- Keeps a part of a content.
INSERT INTO file_parts (file_id, number, data) VALUES (%(file_id)s, %(number)s, %(data)b)
ON CONFLICT (file_id, number) DO UPDATE SET data = EXCLUDED.data, put_at = now();

-- name: get_part
-- Reads a part back.
SELECT data FROM file_parts WHERE file_id = %(file_id)s AND number = %(number)s;

-- name: delete_parts
-- Forgets a content.
DELETE FROM file_parts WHERE file_id = %(file_id)s;

-- name: strays
-- Some contents that were begun before a moment and belong to no file: their upload broke off.
SELECT DISTINCT file_id FROM file_parts AS p
 WHERE put_at < %(before)s AND number = 0 AND NOT EXISTS (SELECT FROM files WHERE id = p.file_id)
 LIMIT %(limit)s;
