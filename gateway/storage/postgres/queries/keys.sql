-- Callers and their API keys.

-- name: caller
-- The caller whose valid key has this SHA-256: asked once per key and cache period.
SELECT callers.*, api_keys.id AS key_id
  FROM api_keys JOIN callers ON callers.id = api_keys.caller_id
 WHERE api_keys.digest = %(digest)s
   AND (api_keys.expires_at IS NULL OR api_keys.expires_at > %(now)s)
   AND (api_keys.revoked_at IS NULL OR api_keys.revoked_at > %(now)s);

-- name: add_caller
-- Keeps a caller, or returns the one of that name. The update changes nothing: it makes RETURNING see the row.
INSERT INTO callers (id, name, kind, rights, models, tags, budget_usd, budget_period, subjects)
VALUES (%(id)s, %(name)s, %(kind)s, %(rights)s, %(models)s, %(tags)s, %(budget_usd)s, %(budget_period)s, %(subjects)s)
ON CONFLICT (name) DO UPDATE SET name = callers.name
RETURNING *, '' AS key_id;

-- name: set_tags
-- Gives a caller other tags.
UPDATE callers SET tags = %(tags)s WHERE name = %(caller)s RETURNING true AS changed;

-- name: set_rights
-- Gives a caller other rights.
UPDATE callers SET rights = %(rights)s WHERE name = %(caller)s RETURNING true AS changed;

-- name: set_budget
-- Gives a caller another budget, or none.
UPDATE callers SET budget_usd = %(budget_usd)s, budget_period = %(budget_period)s
 WHERE name = %(caller)s
RETURNING true AS changed;

-- name: set_subjects
-- Gives a caller other patterns of subjects.
UPDATE callers SET subjects = %(subjects)s WHERE name = %(caller)s RETURNING true AS changed;

-- name: add_key
-- Keeps a key; the same key again changes nothing.
INSERT INTO api_keys (id, caller_id, digest, last_four, note, created_at, expires_at, revoked_at)
VALUES (%(id)s, %(caller_id)s, %(digest)s, %(last_four)s, %(note)s, %(created_at)s, %(expires_at)s, %(revoked_at)s)
ON CONFLICT (id) DO NOTHING;

-- name: revoke_key
-- Revokes a key that is valid.
UPDATE api_keys SET revoked_at = %(at)s
 WHERE id = %(id)s AND (revoked_at IS NULL OR revoked_at > %(at)s) AND (expires_at IS NULL OR expires_at > %(at)s)
RETURNING true AS revoked;

-- name: keys
-- All keys with their callers, oldest first: for people, so without a page.
SELECT callers.id, callers.name, callers.kind, callers.rights, callers.models, callers.tags, callers.budget_usd,
       callers.budget_period, callers.subjects, api_keys.id AS key_id, api_keys.digest, api_keys.last_four, api_keys.note,
       api_keys.created_at, api_keys.expires_at, api_keys.revoked_at
  FROM api_keys JOIN callers ON callers.id = api_keys.caller_id
 ORDER BY api_keys.created_at, api_keys.id;
