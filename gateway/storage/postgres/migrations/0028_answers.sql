-- migrate:up

-- What an answer is that was kept for a job: sound and subtitles are no JSON.
ALTER TABLE claims ADD COLUMN media_type text;

-- migrate:down
ALTER TABLE claims DROP COLUMN media_type;
