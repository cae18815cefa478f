-- migrate:up

-- ---- what changes while processes run ---------------------------------------------------------------------------------
-- Processes keep copies of these nouns, and read them again when the version differs from that of their copy.
CREATE TABLE revisions (
    noun       text PRIMARY KEY CHECK (noun <> ''),
    version    bigint NOT NULL CHECK (version > 0),
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Called in the transaction of each change: the row stays locked until its end, so versions grow in the order of commits,
-- and whoever listens is told after it. Returns the new version.
CREATE FUNCTION bump_revision(what text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    grown bigint;
BEGIN
    INSERT INTO revisions (noun, version) VALUES (what, 1)
    ON CONFLICT (noun) DO UPDATE SET version = revisions.version + 1, changed_at = now()
    RETURNING version INTO grown;
    PERFORM pg_notify('gateway_changes', what);
    RETURN grown;
END
$$;

-- Who changed what, written in the transaction of the change. Never a secret in it.
CREATE TABLE audit (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    noun   text NOT NULL,
    name   text NOT NULL,
    action text NOT NULL,
    before jsonb,
    after  jsonb
);

CREATE INDEX audit_of ON audit (noun, name, id);

-- ---- the registry ------------------------------------------------------------------------------------------------------
-- Names are compared by code point, as processes compare them. `version` is the registry's revision at the last change.
CREATE TABLE models (
    name                      text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    provider                  text NOT NULL CHECK (provider <> ''),
    base_url                  text NOT NULL,
    upstream_model            text NOT NULL,
    kind                      text NOT NULL CHECK (kind <> ''),
    credential                text CHECK (credential ~ '^(env|file|stored):.'),
    credential_for            text NOT NULL,
    capabilities              text[],
    tags                      jsonb NOT NULL CHECK (jsonb_typeof(tags) = 'object'),
    price                     jsonb CHECK (jsonb_typeof(price) = 'object'),
    context_window            bigint CHECK (context_window > 0),
    max_output                bigint CHECK (max_output > 0),
    size                      text CHECK (size <> ''),
    quality                   double precision CHECK (quality >= 0 AND quality <= 1),
    limit_concurrency         bigint CHECK (limit_concurrency > 0),
    limit_requests_per_minute bigint CHECK (limit_requests_per_minute > 0),
    limit_tokens_per_minute   bigint CHECK (limit_tokens_per_minute > 0),
    timeouts                  jsonb NOT NULL CHECK (jsonb_typeof(timeouts) = 'object'),
    headers                   jsonb NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
    options                   jsonb NOT NULL CHECK (jsonb_typeof(options) = 'object'),
    state                     text NOT NULL CHECK (state IN ('enabled', 'draining', 'disabled')),
    notes                     text NOT NULL,
    version                   bigint NOT NULL CHECK (version > 0),
    created_at                timestamptz NOT NULL DEFAULT now(),
    changed_at                timestamptz NOT NULL DEFAULT now(),
    changed_by                text NOT NULL
);

-- An alias stands for its models in the order of `position`, which may have gaps.
CREATE TABLE aliases (
    alias    text COLLATE "C" NOT NULL CHECK (alias <> ''),
    position integer NOT NULL CHECK (position >= 0),
    model    text COLLATE "C" NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    PRIMARY KEY (alias, position),
    UNIQUE (alias, model)
);

CREATE INDEX aliases_model ON aliases (model);

-- Credentials that are kept here, encrypted by the key `key_id` together with their id and the origin they may go to:
-- moved to another row or another origin, they cannot be decrypted.
CREATE TABLE credentials (
    id         text PRIMARY KEY CHECK (id <> ''),
    model      text COLLATE "C" NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    secret     bytea NOT NULL,
    key_id     text NOT NULL,
    last_four  text NOT NULL CHECK (length(last_four) <= 4),
    goes_to    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX credentials_model ON credentials (model);

-- migrate:down
DROP TABLE credentials, aliases, models, audit, revisions;
DROP FUNCTION bump_revision(text);
