-- migrate:up
-- What a published price was looked up for: it is not the price of another model that gets the same name.
ALTER TABLE prices ADD COLUMN upstream text;

-- migrate:down
ALTER TABLE prices DROP COLUMN upstream;
