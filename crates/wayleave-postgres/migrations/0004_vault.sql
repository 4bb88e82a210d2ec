-- The vault's blobs: ciphertext of clients, never looked at.
--
-- Whatever changes the versions of an owner does so under an advisory lock of that owner, which is taken first; whoever
-- sweeps passes over owners whose lock is taken. So nobody waits for rows while holding others, and what is counted in
-- one statement is still right in the next.

-- A version is an upload until it is committed, then current under its name, then replaced (or deleted) and kept for
-- whoever is reading it. `at` is when it became what it is.
CREATE TABLE vault_versions (
    id     BYTEA  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- In the order in which they were begun.
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    owner  TEXT   COLLATE "C" NOT NULL,
    state  TEXT   COLLATE "C" NOT NULL CHECK (state IN ('upload', 'current', 'replaced')),
    name   TEXT   COLLATE "C" CHECK ((name IS NOT NULL) = (state = 'current')),
    size   BIGINT NOT NULL,
    pieces BIGINT NOT NULL,
    at     BIGINT NOT NULL
);

CREATE UNIQUE INDEX vault_current_versions ON vault_versions (owner, name) WHERE state = 'current';
CREATE INDEX vault_versions_by_owner       ON vault_versions (owner, state, at);
CREATE INDEX vault_versions_by_time        ON vault_versions (state, at);

CREATE TABLE vault_pieces (
    version BYTEA  NOT NULL REFERENCES vault_versions (id) ON DELETE CASCADE,
    number  BIGINT NOT NULL,
    content BYTEA  NOT NULL CHECK (length(content) BETWEEN 1 AND 262144),
    PRIMARY KEY (version, number)
);

-- Ciphertext does not become smaller.
ALTER TABLE vault_pieces ALTER COLUMN content SET STORAGE EXTERNAL;

-- How many versions an owner has in each state, so that a piece does not count them.
CREATE TABLE vault_usage (
    owner    TEXT   COLLATE "C" NOT NULL,
    state    TEXT   COLLATE "C" NOT NULL,
    versions BIGINT NOT NULL CHECK (versions >= 0),
    bytes    BIGINT NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (owner, state)
) WITH (fillfactor = 50);

CREATE FUNCTION vault_versions_count() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE vault_usage SET versions = versions - 1, bytes = bytes - OLD.size
            WHERE owner = OLD.owner AND state = OLD.state;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO vault_usage AS held (owner, state, versions, bytes) VALUES (NEW.owner, NEW.state, 1, NEW.size)
            ON CONFLICT (owner, state) DO UPDATE SET versions = held.versions + 1, bytes = held.bytes + NEW.size;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER vault_versions_counted AFTER INSERT OR UPDATE OR DELETE ON vault_versions
    FOR EACH ROW EXECUTE FUNCTION vault_versions_count();

-- `done`, `exists`, or `full` when there are as many uploads as there may be.
CREATE FUNCTION vault_begin(
    p_lock INTEGER, p_owner TEXT, p_id BYTEA, p_uploads BIGINT, p_now BIGINT, p_abandoned BIGINT
) RETURNS TEXT
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_owner));
    DELETE FROM vault_versions WHERE owner = p_owner AND state = 'upload' AND at < p_abandoned;
    IF EXISTS (SELECT FROM vault_versions WHERE id = p_id) THEN
        RETURN 'exists';
    END IF;
    IF (SELECT count(*) FROM vault_versions WHERE owner = p_owner AND state = 'upload') >= p_uploads THEN
        RETURN 'full';
    END IF;
    INSERT INTO vault_versions (id, owner, state, size, pieces, at) VALUES (p_id, p_owner, 'upload', 0, 0, p_now)
        ON CONFLICT (id) DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'exists' END;
END
$$;

-- `done`, `missing`, or `quota` when blobs and uploads together would pass `p_most` bytes.
CREATE FUNCTION vault_append(
    p_lock INTEGER, p_owner TEXT, p_id BYTEA, p_number BIGINT, p_content BYTEA, p_most BIGINT
) RETURNS TEXT
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_owner));
    PERFORM FROM vault_versions WHERE id = p_id AND owner = p_owner AND state = 'upload' AND pieces = p_number;
    IF NOT FOUND THEN
        RETURN 'missing';
    END IF;
    IF length(p_content) + coalesce(
        (SELECT sum(bytes) FROM vault_usage WHERE owner = p_owner AND state IN ('current', 'upload')), 0
    ) > p_most THEN
        RETURN 'quota';
    END IF;
    INSERT INTO vault_pieces (version, number, content) VALUES (p_id, p_number, p_content);
    UPDATE vault_versions SET size = size + length(p_content), pieces = pieces + 1 WHERE id = p_id;
    RETURN 'done';
END
$$;

CREATE FUNCTION vault_abort(p_lock INTEGER, p_owner TEXT, p_id BYTEA) RETURNS BOOLEAN
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_owner));
    DELETE FROM vault_versions WHERE id = p_id AND owner = p_owner AND state = 'upload';
    RETURN FOUND;
END
$$;

-- `Expected::holds`: `p_expected` is `absent`, `present` or `exactly` this `p_version`.
CREATE FUNCTION vault_expected(p_expected TEXT, p_version BYTEA, p_current BYTEA) RETURNS BOOLEAN
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE p_expected
        WHEN 'absent' THEN p_current IS NULL
        WHEN 'present' THEN p_current IS NOT NULL
        ELSE coalesce(p_current = p_version, FALSE)
    END
$$;

-- Takes a name away, and removes what is then kept for readers beyond so many bytes and versions, the oldest first.
CREATE FUNCTION vault_replace(p_owner TEXT, p_id BYTEA, p_bytes BIGINT, p_versions BIGINT, p_now BIGINT) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE vault_versions SET state = 'replaced', name = NULL, at = p_now WHERE id = p_id;
    WHILE EXISTS (
        SELECT FROM vault_usage WHERE owner = p_owner AND state = 'replaced' AND (versions > p_versions OR bytes > p_bytes)
    ) LOOP
        DELETE FROM vault_versions WHERE id = (
            SELECT id FROM vault_versions WHERE owner = p_owner AND state = 'replaced' ORDER BY at, number LIMIT 1
        );
        EXIT WHEN NOT FOUND;
    END LOOP;
END
$$;

-- `done`, `mismatch`, `quota` or `missing`; what is refused is gone.
CREATE FUNCTION vault_commit(
    p_lock INTEGER, p_owner TEXT, p_id BYTEA, p_name TEXT, p_expected TEXT, p_version BYTEA, p_bytes BIGINT,
    p_blobs BIGINT, p_now BIGINT
) RETURNS TABLE (outcome TEXT, size BIGINT, pieces BIGINT)
LANGUAGE plpgsql AS $$
DECLARE
    staged  vault_versions;
    held    vault_versions;
    counted vault_usage;
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_owner));
    SELECT * INTO staged FROM vault_versions AS found
        WHERE found.id = p_id AND found.owner = p_owner AND found.state = 'upload';
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'missing', NULL::BIGINT, NULL::BIGINT;
        RETURN;
    END IF;
    SELECT * INTO held FROM vault_versions AS found
        WHERE found.owner = p_owner AND found.name = p_name AND found.state = 'current';
    SELECT * INTO counted FROM vault_usage AS found WHERE found.owner = p_owner AND found.state = 'current';
    outcome := CASE
        WHEN NOT vault_expected(p_expected, p_version, held.id) THEN 'mismatch'
        WHEN held.id IS NULL AND coalesce(counted.versions, 0) >= p_blobs THEN 'quota'
        WHEN coalesce(counted.bytes, 0) - coalesce(held.size, 0) + staged.size > p_bytes THEN 'quota'
        ELSE 'done'
    END;
    IF outcome <> 'done' THEN
        DELETE FROM vault_versions WHERE id = p_id;
    ELSE
        IF held.id IS NOT NULL THEN
            PERFORM vault_replace(p_owner, held.id, p_bytes, p_blobs, p_now);
        END IF;
        UPDATE vault_versions SET state = 'current', name = p_name, at = p_now WHERE id = p_id;
    END IF;
    RETURN QUERY SELECT outcome, staged.size, staged.pieces;
END
$$;

-- What was current; no row when something else than expected was.
CREATE FUNCTION vault_delete(
    p_lock INTEGER, p_owner TEXT, p_name TEXT, p_expected TEXT, p_version BYTEA, p_bytes BIGINT, p_blobs BIGINT,
    p_now BIGINT
) RETURNS SETOF vault_versions
LANGUAGE plpgsql AS $$
DECLARE
    held vault_versions;
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_owner));
    SELECT * INTO held FROM vault_versions WHERE owner = p_owner AND name = p_name AND state = 'current';
    IF held.id IS NOT NULL AND vault_expected(p_expected, p_version, held.id) THEN
        PERFORM vault_replace(p_owner, held.id, p_bytes, p_blobs, p_now);
        RETURN NEXT held;
    END IF;
END
$$;

-- How many blobs there were.
CREATE FUNCTION vault_delete_all(p_lock INTEGER, p_owner TEXT) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    blobs BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_owner));
    SELECT versions INTO blobs FROM vault_usage WHERE owner = p_owner AND state = 'current';
    DELETE FROM vault_versions WHERE owner = p_owner;
    DELETE FROM vault_usage WHERE owner = p_owner;
    RETURN coalesce(blobs, 0);
END
$$;

-- Removes versions that have been in `p_state` since before `p_before`, where nobody is at work with their owner's.
CREATE FUNCTION vault_sweep(p_lock INTEGER, p_state TEXT, p_before BIGINT, p_most BIGINT) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    due     RECORD;
    removed BIGINT := 0;
BEGIN
    FOR due IN SELECT id, owner FROM vault_versions WHERE state = p_state AND at < p_before ORDER BY at LIMIT p_most LOOP
        IF pg_try_advisory_xact_lock(p_lock, hashtext(due.owner)) THEN
            -- Which may have become something else before the lock.
            DELETE FROM vault_versions WHERE id = due.id AND state = p_state AND at < p_before;
            removed := removed + FOUND::INTEGER;
        END IF;
    END LOOP;
    RETURN removed;
END
$$;
