-- migrate:up
-- Speech is priced by its characters, and reranking by search units.
ALTER TABLE requests
    ADD COLUMN characters bigint,
    ADD COLUMN search_units bigint;

ALTER TABLE attempts
    ADD COLUMN characters bigint,
    ADD COLUMN search_units bigint;

ALTER TABLE jobs
    ADD COLUMN characters bigint,
    ADD COLUMN search_units bigint;

-- With defaults, since processes of the version before still write here meanwhile.
ALTER TABLE usage
    ADD COLUMN characters bigint NOT NULL DEFAULT 0,
    ADD COLUMN search_units bigint NOT NULL DEFAULT 0;

ALTER TABLE prices
    ADD COLUMN million_characters_usd numeric CHECK (million_characters_usd >= 0),
    ADD COLUMN search_unit_usd numeric CHECK (search_unit_usd >= 0);

-- migrate:down
ALTER TABLE prices DROP COLUMN million_characters_usd, DROP COLUMN search_unit_usd;
ALTER TABLE usage DROP COLUMN characters, DROP COLUMN search_units;
ALTER TABLE jobs DROP COLUMN characters, DROP COLUMN search_units;
ALTER TABLE attempts DROP COLUMN characters, DROP COLUMN search_units;
ALTER TABLE requests DROP COLUMN characters, DROP COLUMN search_units;
