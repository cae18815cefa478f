-- migrate:up

-- ---- limits over all replicas --------------------------------------------------------------------------------------
-- Unlogged: they change with every lease, nobody waits for a disk, and after a crash of the server they start anew, full
-- and free; replicas say what they hold every second.

-- Token buckets as they were at `at`. What a replica draws is gone from here, so that no lease has to be kept or expire;
-- `queue_at` is when the last one in line comes.
CREATE UNLOGGED TABLE buckets (
    key      text PRIMARY KEY,
    level    double precision NOT NULL,
    at       timestamptz NOT NULL,
    full_at  timestamptz NOT NULL,
    queue_at timestamptz
) WITH (fillfactor = 50);

-- Draws tokens from some buckets, in the order of their keys: less than `mosts` where they hold less, and nothing where
-- they hold less than `leasts`. What is owed is taken off first.
CREATE FUNCTION draw_tokens(
    keys text[], rates float8[], bursts float8[], leasts float8[], mosts float8[], owed float8[]
) RETURNS TABLE (tokens float8, level float8)
LANGUAGE plpgsql AS $$
DECLARE
    kept   buckets;
    moment timestamptz;
BEGIN
    FOR i IN 1..cardinality(keys) LOOP
        SELECT * INTO kept FROM buckets b WHERE b.key = keys[i] FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO buckets AS b VALUES (keys[i], bursts[i], clock_timestamp(), clock_timestamp(), NULL)
            ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING * INTO kept;
        END IF;
        moment := greatest(kept.at, clock_timestamp());
        level := least(bursts[i], kept.level + rates[i] * extract(epoch FROM moment - kept.at)) - owed[i];
        tokens := CASE WHEN level >= leasts[i] THEN greatest(0, least(mosts[i], level)) ELSE 0 END;
        level := level - tokens;
        UPDATE buckets b
           SET level = draw_tokens.level,
               at = moment,
               full_at = moment + make_interval(secs => least(86400, (bursts[i] - draw_tokens.level) / nullif(rates[i], 0)))
         WHERE b.key = keys[i];
        RETURN NEXT;
    END LOOP;
END
$$;

-- How many of something each replica has at once. A row that has expired counts no more.
CREATE UNLOGGED TABLE slots (
    key        text NOT NULL,
    holder     text NOT NULL,
    held       integer NOT NULL CHECK (held > 0),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (key, holder)
) WITH (fillfactor = 50);

-- Lets a replica hold some slots of each key, in the order of the keys: those in use in any case, more as far as the others
-- leave them.
CREATE FUNCTION hold_slots(
    who text, keys text[], limits integer[], in_use integer[], mosts integer[], expiry interval
) RETURNS TABLE (held integer, others integer)
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..cardinality(keys) LOOP
        -- One replica at a time: what it counts below must not change before it has written its own row.
        PERFORM pg_advisory_xact_lock(hashtextextended('gateway.slots.' || keys[i], 0));
        DELETE FROM slots s WHERE s.key = keys[i] AND s.expires_at <= clock_timestamp();
        SELECT coalesce(sum(s.held), 0) INTO others FROM slots s WHERE s.key = keys[i] AND s.holder <> who;
        held := greatest(in_use[i], least(mosts[i], limits[i] - others), 0);
        IF held = 0 THEN
            DELETE FROM slots s WHERE s.key = keys[i] AND s.holder = who;
        ELSE
            INSERT INTO slots AS s VALUES (keys[i], who, held, clock_timestamp() + expiry)
            ON CONFLICT (key, holder) DO UPDATE SET held = excluded.held, expires_at = excluded.expires_at;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- migrate:down
DROP FUNCTION hold_slots(text, text[], integer[], integer[], integer[], interval);
DROP FUNCTION draw_tokens(text[], float8[], float8[], float8[], float8[], float8[]);
DROP TABLE slots, buckets;
