-- migrate:up

-- ---- the rules ---------------------------------------------------------------------------------------------------------
-- Versions are only ever added; the one in force is that of the newest publication.
CREATE TABLE rule_versions (
    number     bigint PRIMARY KEY CHECK (number > 0),
    text       text NOT NULL,
    digest     text NOT NULL CHECK (digest <> ''),
    author     text NOT NULL,
    note       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rule_publications (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint NOT NULL REFERENCES rule_versions (number),
    at     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    note   text NOT NULL
);

CREATE INDEX rule_publications_number ON rule_publications (number, id);

-- migrate:down
DROP TABLE rule_publications, rule_versions;
