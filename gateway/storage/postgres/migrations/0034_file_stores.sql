-- migrate:up
-- Where a file's content is: here, in file_parts, or in storage that speaks S3.
ALTER TABLE files ADD COLUMN store text NOT NULL DEFAULT 'postgres' CHECK (store IN ('postgres', 's3'));

-- migrate:down
ALTER TABLE files DROP COLUMN store;
