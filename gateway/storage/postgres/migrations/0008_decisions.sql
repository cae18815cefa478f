-- migrate:up
-- Constant defaults: no row is touched.
ALTER TABLE requests
    ADD COLUMN registry_version text NOT NULL DEFAULT '',
    ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';

ALTER TABLE bodies ADD COLUMN decisions jsonb;

DO $$
BEGIN
    ALTER TABLE bodies ALTER COLUMN decisions SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this PostgreSQL has no lz4: decisions are compressed by pglz';
END
$$;

-- migrate:down
ALTER TABLE bodies DROP COLUMN decisions;

ALTER TABLE requests DROP COLUMN facts, DROP COLUMN registry_version;
