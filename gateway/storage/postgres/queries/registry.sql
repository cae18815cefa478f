-- Models, aliases and credentials. Every change takes the lock first, so that what it looked at still holds when it writes.

-- name: lock
-- Lets one transaction at a time change the registry, over all replicas.
SELECT pg_advisory_xact_lock(hashtext('gateway.registry'));

-- name: snapshot
-- Makes the statements of a transaction read the same moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: revision
-- The registry's revision; no row if it was never written.
SELECT version FROM revisions WHERE noun = 'registry';

-- name: models
-- All models: read at start, and after each change.
SELECT * FROM models ORDER BY name;

-- name: aliases
-- All aliases, each with its models in order.
SELECT alias, array_agg(model ORDER BY position) AS models FROM aliases GROUP BY alias ORDER BY alias;

-- name: sealed
-- All credentials that are kept here, still encrypted.
SELECT id, secret, key_id, last_four, goes_to FROM credentials;

-- name: get
-- One model, with the names that it answers to and its credential's last four characters.
SELECT m.*, ARRAY(SELECT alias FROM aliases WHERE model = m.name ORDER BY alias) AS aliases,
       (SELECT last_four FROM credentials WHERE model = m.name) AS last_four
  FROM models AS m WHERE m.name = %(name)s;

-- name: find
-- A page of models by name. Each term of the tag expression must hold: there with one of its values (if it names some), or,
-- if `absent`, not so. A size counts as the tag `size`, unless there is such a tag.
SELECT m.*, ARRAY(SELECT alias FROM aliases WHERE model = m.name ORDER BY alias) AS aliases,
       (SELECT last_four FROM credentials WHERE model = m.name) AS last_four
  FROM models AS m
 WHERE (%(after)s::text IS NULL OR m.name > %(after)s)
   AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
   AND (%(state)s::text IS NULL OR m.state = %(state)s)
   AND NOT EXISTS (
     SELECT FROM jsonb_to_recordset(%(terms)s::jsonb) AS t(name text, "values" text[], absent boolean),
       LATERAL (SELECT CASE WHEN m.size IS NULL THEN m.tags ELSE jsonb_build_object('size', m.size) || m.tags END AS tags) AS all_of
      WHERE (jsonb_exists(all_of.tags, t.name) AND (cardinality(t."values") = 0 OR all_of.tags ->> t.name = ANY (t."values")))
            = t.absent)
 ORDER BY m.name LIMIT %(limit)s;

-- name: save
-- Writes a model, new or not.
INSERT INTO models (
  name, provider, base_url, upstream_model, kind, credential, credential_for, capabilities, tags, price, context_window,
  max_output, size, quality, limit_concurrency, limit_requests_per_minute, limit_tokens_per_minute, timeouts, headers,
  options, state, notes, version, changed_by)
VALUES (
  %(name)s, %(provider)s, %(base_url)s, %(upstream_model)s, %(kind)s, %(credential)s, %(credential_for)s, %(capabilities)s,
  %(tags)s, %(price)s, %(context_window)s, %(max_output)s, %(size)s, %(quality)s, %(limit_concurrency)s,
  %(limit_requests_per_minute)s, %(limit_tokens_per_minute)s, %(timeouts)s, %(headers)s, %(options)s, %(state)s,
  %(notes)s, %(version)s, %(changed_by)s)
ON CONFLICT (name) DO UPDATE SET
  provider = excluded.provider, base_url = excluded.base_url, upstream_model = excluded.upstream_model,
  kind = excluded.kind, credential = excluded.credential, credential_for = excluded.credential_for,
  capabilities = excluded.capabilities, tags = excluded.tags, price = excluded.price,
  context_window = excluded.context_window, max_output = excluded.max_output, size = excluded.size,
  quality = excluded.quality, limit_concurrency = excluded.limit_concurrency,
  limit_requests_per_minute = excluded.limit_requests_per_minute,
  limit_tokens_per_minute = excluded.limit_tokens_per_minute, timeouts = excluded.timeouts, headers = excluded.headers,
  options = excluded.options, state = excluded.state, notes = excluded.notes, version = excluded.version,
  changed_at = now(), changed_by = excluded.changed_by;

-- name: touch
-- Gives models a new version, when an alias gains or loses them.
UPDATE models SET version = %(version)s, changed_at = now(), changed_by = %(actor)s WHERE name = ANY (%(names)s);

-- name: delete
-- Deletes a model, and with it its credential and its places in aliases.
DELETE FROM models WHERE name = %(name)s;

-- name: taken
-- Which of these names are models.
SELECT name FROM models WHERE name = ANY (%(names)s) ORDER BY name;

-- name: alias
-- The models of an alias in their order; none if there is no such alias.
SELECT model FROM aliases WHERE alias = %(alias)s ORDER BY position;

-- name: leave
-- Takes a model out of the aliases that it shall no longer answer to.
DELETE FROM aliases WHERE model = %(name)s AND alias <> ALL (%(aliases)s);

-- name: join
-- Puts a model at the end of the aliases that it shall answer to and does not yet.
INSERT INTO aliases (alias, position, model)
SELECT wanted.alias, (SELECT coalesce(max(position) + 1, 0) FROM aliases AS a WHERE a.alias = wanted.alias), %(name)s
  FROM unnest(%(aliases)s::text[]) AS wanted(alias)
ON CONFLICT (alias, model) DO NOTHING;

-- name: disband
-- Empties an alias.
DELETE FROM aliases WHERE alias = %(alias)s;

-- name: arrange
-- Fills an empty alias with models in their order.
INSERT INTO aliases (alias, position, model)
SELECT %(alias)s, position - 1, model FROM unnest(%(models)s::text[]) WITH ORDINALITY AS wanted(model, position);

-- name: forget_credentials
-- Deletes the credentials of a model that it does not name.
DELETE FROM credentials WHERE model = %(model)s AND id IS DISTINCT FROM %(id)s;

-- name: keep_credential
-- Keeps a model's credential, encrypted.
INSERT INTO credentials (id, model, secret, key_id, last_four, goes_to)
VALUES (%(id)s, %(model)s, %(secret)s, %(key_id)s, %(last_four)s, %(goes_to)s);

-- name: credential
-- Whether a credential is kept for this model.
SELECT last_four FROM credentials WHERE model = %(model)s AND id = %(id)s;

-- name: reseal
-- Keeps a credential as another key has encrypted it; it is the same credential, so nothing is announced.
UPDATE credentials SET secret = %(secret)s, key_id = %(key_id)s WHERE id = %(id)s AND goes_to = %(goes_to)s RETURNING id;
