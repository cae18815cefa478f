-- migrate:up
-- A cost that is corrected changes usage by the difference.
CREATE FUNCTION note_corrected_usage() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO usage_pending (accepted_at, request_id, number, repricing_id)
    SELECT accepted_at, request_id, number, repricing_id FROM corrected;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_usage AFTER INSERT ON corrections
    REFERENCING NEW TABLE AS corrected
    FOR EACH STATEMENT EXECUTE FUNCTION note_corrected_usage();

INSERT INTO usage_pending (accepted_at, request_id, number, repricing_id)
SELECT accepted_at, request_id, number, repricing_id FROM corrections ORDER BY repricing_id, accepted_at, request_id, number;

-- migrate:down
DROP TRIGGER note_usage ON corrections;
DROP FUNCTION note_corrected_usage();
