-- migrate:up
-- The cut `model_tags` has a fifth of the rows of `all`: apart from them it stays in memory, and a year of it is read in
-- less than half the time.
DO $$
DECLARE
    parent text;
    many   text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['usage_hours', 'usage_days', 'usage_months'] LOOP
        many := parent || '_many';
        EXECUTE format('CREATE TEMP TABLE moving AS SELECT * FROM %I', many);
        EXECUTE format('DROP TABLE %I', many);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L)', many, parent, 'all');
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L)', parent || '_some', parent, 'model_tags');
        EXECUTE format('INSERT INTO %I SELECT * FROM moving ORDER BY at, key', parent);
        DROP TABLE moving;
    END LOOP;
END
$$;

-- migrate:down
DO $$
DECLARE
    parent text;
    many   text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['usage_hours', 'usage_days', 'usage_months'] LOOP
        many := parent || '_many';
        EXECUTE format('CREATE TEMP TABLE moving AS SELECT * FROM %I UNION ALL SELECT * FROM %I', many, parent || '_some');
        EXECUTE format('DROP TABLE %I, %I', many, parent || '_some');
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L, %L)', many, parent, 'model_tags', 'all');
        EXECUTE format('INSERT INTO %I SELECT * FROM moving ORDER BY at, key', parent);
        DROP TABLE moving;
    END LOOP;
END
$$;
