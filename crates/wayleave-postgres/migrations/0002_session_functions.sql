-- What the session store does in more than one step, each as one function: one round trip, and one transaction.
--
-- Every statement in a function sees what was committed when it began (READ COMMITTED), so a lock that is taken in one
-- statement protects what the next one reads.
--
-- Locks, in the order in which they are taken:
--
-- 1. The slot (an advisory lock): by whatever brings a record in, or ends or exchanges several by what they have in
--    common. All records of a subject are in one slot, and so is a family. Under it nothing new comes into the slot, so
--    the limit counts what is there, and a revocation of all leaves nothing that took the place of something.
-- 2. Rows of sessions, in the order of their ids, all at once; what comes in after that is left alone.
-- 3. Rows of spent tokens, skipping those that are locked; and tickets, then their counts, in the order of purposes.
--
-- Sweeps skip rows that are locked, and so wait for nobody. Nobody waits for what comes earlier in this list while
-- holding what comes later, so there is no deadlock. (Whoever writes a single row needs no more than its lock.)
--
-- A function is never changed in its arguments or its answer: nodes of an older version call it meanwhile.

-- `Activity::moved_forward`, for the idle end.
CREATE FUNCTION idle_moved_forward(held BIGINT, held_seen_at BIGINT, new BIGINT, new_seen_at BIGINT) RETURNS BIGINT
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN new IS NULL AND new_seen_at <= held_seen_at THEN held
        WHEN new IS NULL OR held IS NULL THEN NULL
        ELSE greatest(held, new)
    END
$$;

-- Forgets the spent tokens of families of which nothing is left.
CREATE FUNCTION forget_lineages(p_families BYTEA[]) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM spent_refresh_tokens WHERE hash = ANY (ARRAY(
        SELECT spent.hash FROM spent_refresh_tokens AS spent WHERE spent.family = ANY (p_families)
            AND NOT EXISTS (SELECT FROM sessions WHERE sessions.family = spent.family)
            FOR UPDATE SKIP LOCKED
    ));
END
$$;

-- `outcome` is done, marked (done, and others that had ended were marked so), exists, refused or conflict, in the first row; further rows are `replaced` or `evicted`.
CREATE FUNCTION session_insert(
    p_lock INTEGER, p_actor TEXT, p_permissions TEXT, p_methods BIGINT, p_authenticated_at BIGINT, p_level BIGINT,
    p_epoch BIGINT, p_remembered BOOLEAN, p_licence TEXT, p_last_seen_at BIGINT, p_idle_expires_at BIGINT,
    p_token_expires_at BIGINT, p_expired_at BIGINT, p_confirmation BYTEA, p_revision BIGINT, p_client BYTEA,
    p_context BYTEA, p_data BYTEA, p_id BYTEA, p_prefix TEXT, p_slot BIGINT, p_family BYTEA, p_kind TEXT,
    p_subject TEXT, p_created_at BIGINT, p_absolute_expires_at BIGINT, p_token BYTEA, p_refresh BYTEA,
    p_generation BIGINT, p_rotation_predecessor BYTEA, p_rotation_at BIGINT, p_rotation_client BYTEA,
    p_rotation_client_tag BYTEA, p_rotation_pair BYTEA,
    -- The record to replace, and its revision if it must have one.
    p_replaces BYTEA, p_replaces_prefix TEXT, p_expected BIGINT,
    -- The limit: how many, and `oldest`, `least-recently-seen` or `refuse`. NULL for none.
    p_most BIGINT, p_at_limit TEXT,
    -- What was opened later than `p_latest_birth` was opened in the future.
    p_now BIGINT, p_latest_birth BIGINT
) RETURNS TABLE (outcome TEXT, held sessions)
LANGUAGE plpgsql AS $$
DECLARE
    limited  CONSTANT BOOLEAN := p_most IS NOT NULL AND p_subject IS NOT NULL;
    crowded  BOOLEAN := FALSE;
    marked   BOOLEAN := FALSE;
    locked   BYTEA[] := '{}';
    replaced BYTEA;
    revision_then BIGINT;
    excess   BIGINT := 0;
    ahead    BIGINT := 0;
    ending   BYTEA[] := '{}';
    families BYTEA[];
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, p_slot::INTEGER);
    IF limited THEN
        -- Where there is room and nothing to mark, the others need no locks.
        SELECT count(*) >= p_most OR bool_or(ends_at <= p_now) INTO crowded
            FROM sessions WHERE subject = p_subject AND kind = p_kind AND expired_at IS NULL
            AND id <> p_id AND id IS DISTINCT FROM p_replaces;
        crowded := coalesce(crowded, FALSE);
    END IF;
    IF crowded THEN
        locked := ARRAY(SELECT id FROM sessions WHERE id = ANY (ARRAY(
            SELECT id FROM sessions WHERE subject = p_subject AND kind = p_kind AND expired_at IS NULL
            UNION ALL SELECT p_replaces
        )) ORDER BY id FOR UPDATE);
    ELSIF p_replaces IS NOT NULL THEN
        locked := ARRAY(SELECT id FROM sessions WHERE id = p_replaces FOR UPDATE);
    END IF;
    SELECT id, revision INTO replaced, revision_then FROM sessions
        WHERE id = p_replaces AND prefix = p_replaces_prefix AND id = ANY (locked);
    IF p_expected IS NOT NULL AND revision_then IS DISTINCT FROM p_expected THEN
        RETURN QUERY SELECT 'conflict', NULL::sessions;
        RETURN;
    END IF;

    INSERT INTO sessions (
        actor, permissions, methods, authenticated_at, level, epoch, remembered, licence, last_seen_at,
        idle_expires_at, token_expires_at, expired_at, confirmation, revision, client, context, data, id, prefix, slot,
        family, kind, subject, created_at, absolute_expires_at, token, refresh, generation, rotation_predecessor,
        rotation_at, rotation_client, rotation_client_tag, rotation_pair
    ) VALUES (
        p_actor, p_permissions, p_methods, p_authenticated_at, p_level, p_epoch, p_remembered, p_licence,
        p_last_seen_at, p_idle_expires_at, p_token_expires_at, p_expired_at, p_confirmation, p_revision, p_client,
        p_context, p_data, p_id, p_prefix, p_slot, p_family, p_kind, p_subject, p_created_at, p_absolute_expires_at,
        p_token, p_refresh, p_generation, p_rotation_predecessor, p_rotation_at, p_rotation_client,
        p_rotation_client_tag, p_rotation_pair
    ) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'exists', NULL::sessions;
        RETURN;
    END IF;

    IF crowded THEN
        -- What is not counted must not come back by an activity that is written down later.
        UPDATE sessions SET expired_at = p_now, revision = revision + 1
            WHERE subject = p_subject AND kind = p_kind AND expired_at IS NULL AND id <> p_id
            AND ends_at <= p_now;
        marked := FOUND;
        SELECT count(*) + 1 - p_most, count(*) FILTER (WHERE created_at > p_latest_birth) INTO excess, ahead FROM sessions
            WHERE subject = p_subject AND kind = p_kind AND expired_at IS NULL
            AND id <> p_id AND id IS DISTINCT FROM replaced;
    END IF;
    -- Where there may be none, there is nobody to make room for it.
    IF limited AND (p_most = 0 OR (excess > ahead AND p_at_limit = 'refuse')) THEN
        outcome := 'refused';
        ending := ARRAY[p_id];
    ELSE
        outcome := CASE WHEN marked THEN 'marked' ELSE 'done' END;
        IF excess > 0 THEN
            ending := ARRAY(
                SELECT id FROM sessions WHERE subject = p_subject AND kind = p_kind AND expired_at IS NULL
                    AND id <> p_id AND id IS DISTINCT FROM replaced
                    -- What was opened in the future makes room first.
                    ORDER BY created_at <= p_latest_birth, CASE p_at_limit WHEN 'least-recently-seen' THEN last_seen_at END, created_at, id
                    LIMIT excess
            );
        END IF;
    END IF;
    RETURN NEXT;
    IF replaced IS NOT NULL THEN
        ending := ending || replaced;
    END IF;
    IF ending = '{}' THEN
        RETURN;
    END IF;
    families := ARRAY(SELECT DISTINCT family FROM sessions WHERE id = ANY (ending));
    RETURN QUERY DELETE FROM sessions WHERE id = ANY (ending)
        RETURNING CASE id WHEN replaced THEN 'replaced' WHEN p_id THEN 'refused' ELSE 'evicted' END, sessions;
    PERFORM forget_lineages(families);
END
$$;

-- By `Record::updated_from`. `outcome` is done, with the record, or conflict or missing.
CREATE FUNCTION session_update(
    p_actor TEXT, p_permissions TEXT, p_methods BIGINT, p_authenticated_at BIGINT, p_level BIGINT, p_epoch BIGINT,
    p_remembered BOOLEAN, p_licence TEXT, p_last_seen_at BIGINT, p_idle_expires_at BIGINT, p_token_expires_at BIGINT,
    p_expired_at BIGINT, p_confirmation BYTEA, p_client BYTEA, p_context BYTEA, p_data BYTEA, p_id BYTEA,
    p_prefix TEXT, p_slot BIGINT, p_expected BIGINT
) RETURNS TABLE (outcome TEXT, held sessions)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY UPDATE sessions SET
            actor = p_actor, permissions = p_permissions, methods = p_methods, authenticated_at = p_authenticated_at,
            level = p_level, epoch = p_epoch, remembered = p_remembered, licence = p_licence,
            last_seen_at = greatest(last_seen_at, p_last_seen_at),
            -- A touch that came in between is newer than what the change knew; the two stay a pair.
            idle_expires_at = CASE WHEN last_seen_at > p_last_seen_at THEN idle_expires_at ELSE p_idle_expires_at END,
            token_expires_at = least(p_token_expires_at, absolute_expires_at),
            expired_at = coalesce(expired_at, p_expired_at), confirmation = p_confirmation, client = p_client,
            context = p_context, data = p_data, revision = revision + 1
        WHERE id = p_id AND slot = p_slot AND prefix = p_prefix AND revision = p_expected
        RETURNING 'done', sessions;
    IF NOT FOUND THEN
        RETURN QUERY SELECT
            CASE WHEN EXISTS (SELECT FROM sessions WHERE id = p_id AND slot = p_slot AND prefix = p_prefix)
                THEN 'conflict' ELSE 'missing' END,
            NULL::sessions;
    END IF;
END
$$;

-- The record that a refresh token leads to. Of several sessions of a family, a spent token leads to the one that it
-- was exchanged in, else to the newest.
CREATE FUNCTION session_by_refresh(p_presented BYTEA, p_slot BIGINT) RETURNS BYTEA
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT id FROM sessions WHERE refresh = p_presented AND slot = p_slot),
        (SELECT held.id FROM spent_refresh_tokens AS spent JOIN sessions AS held ON held.family = spent.family
            WHERE spent.hash = p_presented AND held.slot = p_slot
            ORDER BY held.rotation_predecessor IS NOT DISTINCT FROM p_presented DESC, held.created_at DESC, held.id DESC
            LIMIT 1)
    )
$$;

-- By `refresh::judge`. `outcome` is done, repeat, reuse, idle, absolute, not-before or unknown; `held` is the record as it is now,
-- or one that ended, in a row for each. `previous` is the hash of the session token that was replaced.
CREATE FUNCTION session_rotate(
    p_lock INTEGER, p_slot BIGINT, p_presented BYTEA, p_token BYTEA, p_refresh BYTEA, p_pair BYTEA, p_client BYTEA,
    p_client_tag BYTEA, p_token_expires_at BIGINT, p_seen_at BIGINT, p_idle_expires_at BIGINT, p_now BIGINT,
    p_window BIGINT, p_latest_birth BIGINT,
    -- How many spent tokens of a family are kept, and after how many rotations it is looked.
    p_kept BIGINT, p_forget_every BIGINT
) RETURNS TABLE (outcome TEXT, previous BYTEA, held sessions)
LANGUAGE plpgsql AS $$
DECLARE
    lineage BYTEA;
    judged  sessions;
    over    TEXT;
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, p_slot::INTEGER);
    SELECT family INTO lineage FROM sessions WHERE id = session_by_refresh(p_presented, p_slot);
    PERFORM FROM sessions WHERE family = lineage AND slot = p_slot ORDER BY id FOR UPDATE;
    SELECT * INTO judged FROM sessions WHERE id = session_by_refresh(p_presented, p_slot);
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'unknown', NULL::BYTEA, NULL::sessions;
        RETURN;
    END IF;
    over := CASE
        WHEN p_now >= judged.absolute_expires_at THEN 'absolute'
        WHEN judged.expired_at IS NOT NULL OR p_now >= judged.idle_expires_at THEN 'idle'
        WHEN judged.created_at > p_latest_birth THEN 'not-before'
    END;
    IF judged.refresh = p_presented AND over IS NOT NULL THEN
        RETURN QUERY SELECT over, NULL::BYTEA, judged;
    ELSIF judged.refresh = p_presented THEN
        RETURN QUERY UPDATE sessions SET
                token = p_token, refresh = p_refresh, generation = coalesce(generation, 0) + 1,
                rotation_predecessor = p_presented, rotation_at = p_now, rotation_client = p_client,
                rotation_client_tag = p_client_tag, rotation_pair = p_pair,
                last_seen_at = greatest(last_seen_at, p_seen_at),
                idle_expires_at = idle_moved_forward(idle_expires_at, last_seen_at, p_idle_expires_at, p_seen_at),
                token_expires_at = least(p_token_expires_at, absolute_expires_at), revision = revision + 1
            WHERE id = judged.id RETURNING 'done', judged.token, sessions;
        INSERT INTO spent_refresh_tokens (hash, family, at, until)
            VALUES (p_presented, judged.family, p_now, judged.absolute_expires_at)
            ON CONFLICT (hash) DO UPDATE SET at = excluded.at, until = excluded.until;
        IF (coalesce(judged.generation, 0) + 1) % p_forget_every = 0 THEN
            DELETE FROM spent_refresh_tokens WHERE hash = ANY (ARRAY(
                SELECT hash FROM spent_refresh_tokens WHERE family = judged.family
                    ORDER BY at DESC OFFSET p_kept FOR UPDATE SKIP LOCKED
            ));
        END IF;
    ELSIF over IS NULL AND judged.refresh IS NOT NULL AND judged.rotation_predecessor = p_presented
        AND judged.rotation_client_tag = p_client_tag AND abs(p_now - judged.rotation_at) < p_window
        AND judged.rotation_pair IS NOT NULL
    THEN
        RETURN QUERY SELECT 'repeat', NULL::BYTEA, judged;
    ELSE
        RETURN QUERY DELETE FROM sessions WHERE family = lineage AND slot = p_slot
            RETURNING 'reuse', NULL::BYTEA, sessions;
        PERFORM forget_lineages(ARRAY[lineage]);
    END IF;
END
$$;

-- Ends one (`p_id` alone), all of a subject, all but `p_id`, or a family.
CREATE FUNCTION session_revoke(
    p_lock INTEGER, p_slot BIGINT, p_id BYTEA, p_prefix TEXT, p_subject TEXT, p_family BYTEA
) RETURNS SETOF sessions
LANGUAGE plpgsql AS $$
DECLARE
    ending   BYTEA[];
    families BYTEA[];
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, p_slot::INTEGER);
    IF p_subject IS NOT NULL THEN
        ending := ARRAY(SELECT id FROM sessions
            WHERE subject = p_subject AND slot = p_slot AND id IS DISTINCT FROM p_id ORDER BY id FOR UPDATE);
    ELSIF p_family IS NOT NULL THEN
        ending := ARRAY(SELECT id FROM sessions WHERE family = p_family AND slot = p_slot ORDER BY id FOR UPDATE);
    ELSE
        ending := ARRAY(SELECT id FROM sessions WHERE id = p_id AND slot = p_slot AND prefix = p_prefix FOR UPDATE);
    END IF;
    IF ending = '{}' THEN
        RETURN;
    END IF;
    families := ARRAY(SELECT DISTINCT family FROM sessions WHERE id = ANY (ending));
    RETURN QUERY DELETE FROM sessions WHERE id = ANY (ending) RETURNING sessions.*;
    PERFORM forget_lineages(families);
END
$$;

-- How many were written. Every id is given once.
CREATE FUNCTION session_touch(
    p_ids BYTEA[], p_slots BIGINT[], p_prefixes TEXT[], p_seen_at BIGINT[], p_idle_expires_at BIGINT[]
) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    -- What comes in from now on is not among those whose locks were taken in order.
    locked  CONSTANT BYTEA[] := ARRAY(SELECT id FROM sessions WHERE id = ANY (p_ids) ORDER BY id FOR UPDATE);
    written BIGINT;
BEGIN
    UPDATE sessions SET
            last_seen_at = greatest(last_seen_at, new.seen_at),
            idle_expires_at = idle_moved_forward(sessions.idle_expires_at, last_seen_at, new.idle_expires_at, new.seen_at)
        FROM unnest(p_ids, p_slots, p_prefixes, p_seen_at, p_idle_expires_at)
            AS new (id, slot, prefix, seen_at, idle_expires_at)
        WHERE sessions.id = ANY (locked) AND sessions.id = new.id AND sessions.slot = new.slot AND sessions.prefix = new.prefix
            AND expired_at IS NULL;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

-- Of rotations before `p_before` and from `p_ahead` on: how many records have no such pair any more of those that had;
-- fewer than `p_most` means that none is left.
CREATE FUNCTION session_erase_pairs(p_before BIGINT, p_ahead BIGINT, p_most BIGINT) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    locked     BYTEA[];
    candidates CONSTANT BYTEA[] := ARRAY(
        (SELECT id FROM sessions WHERE rotation_pair IS NOT NULL AND rotation_at < p_before
            ORDER BY rotation_at LIMIT p_most)
        UNION ALL
        (SELECT id FROM sessions WHERE rotation_pair IS NOT NULL AND rotation_at >= p_ahead
            ORDER BY rotation_at LIMIT p_most)
        LIMIT p_most
    );
BEGIN
    locked := ARRAY(SELECT id FROM sessions WHERE id = ANY (candidates) ORDER BY id FOR UPDATE);
    UPDATE sessions SET rotation_pair = NULL
        WHERE id = ANY (locked) AND (rotation_at < p_before OR rotation_at >= p_ahead);
    RETURN cardinality(candidates);
END
$$;

-- Removes what ended before then, at most `p_most` of each kind: records, tickets, known devices, and spent tokens
-- that nothing is left of. Says how many records, how many tickets, and whether more may be left.
CREATE FUNCTION sweep(p_before BIGINT, p_most BIGINT) RETURNS TABLE (records BIGINT, tickets BIGINT, more BOOLEAN)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    families BYTEA[];
    spent    BYTEA[];
    devices  BIGINT;
BEGIN
    WITH gone AS (
        DELETE FROM sessions WHERE id = ANY (ARRAY(
            SELECT id FROM sessions WHERE ends_at < p_before ORDER BY ends_at LIMIT p_most FOR UPDATE SKIP LOCKED
        )) RETURNING family
    )
    SELECT count(*), array_agg(DISTINCT family) INTO records, families FROM gone;
    PERFORM forget_lineages(families);

    -- Two that ended at the same time may each have left it to the other.
    spent := ARRAY(
        SELECT hash FROM spent_refresh_tokens WHERE until < p_before ORDER BY until LIMIT p_most FOR UPDATE SKIP LOCKED
    );
    WITH lives AS (
        UPDATE spent_refresh_tokens AS kept SET until = greatest(p_before, (
            SELECT max(absolute_expires_at) FROM sessions WHERE sessions.family = kept.family
        ))
        WHERE hash = ANY (spent) AND EXISTS (SELECT FROM sessions WHERE sessions.family = kept.family)
        RETURNING hash
    )
    DELETE FROM spent_refresh_tokens WHERE hash = ANY (spent) AND hash NOT IN (SELECT hash FROM lives);

    DELETE FROM tickets WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tickets WHERE expires_at < p_before ORDER BY expires_at LIMIT p_most FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS tickets = ROW_COUNT;
    DELETE FROM known_devices WHERE number = ANY (ARRAY(
        SELECT number FROM known_devices WHERE expires_at < p_before ORDER BY expires_at LIMIT p_most
            FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS devices = ROW_COUNT;
    more := greatest(records, tickets, devices, cardinality(spent)) >= p_most;
    RETURN NEXT;
END
$$;

-- The counts follow every statement that adds or removes tickets.
CREATE FUNCTION tickets_counted() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
DECLARE
    changed RECORD;
BEGIN
    FOR changed IN SELECT purpose, count(*) AS tickets FROM moved GROUP BY purpose ORDER BY purpose LOOP
        IF TG_OP = 'INSERT' THEN
            INSERT INTO ticket_counts AS held (purpose, tickets) VALUES (changed.purpose, changed.tickets)
                ON CONFLICT (purpose) DO UPDATE SET tickets = held.tickets + excluded.tickets;
        ELSE
            UPDATE ticket_counts SET tickets = tickets - changed.tickets WHERE purpose = changed.purpose;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER tickets_in AFTER INSERT ON tickets REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION tickets_counted();
CREATE TRIGGER tickets_out AFTER DELETE ON tickets REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION tickets_counted();

-- `done`, `exists` or `full`.
CREATE FUNCTION ticket_deposit(
    p_purpose TEXT, p_key BYTEA, p_payload BYTEA, p_expires_at BIGINT, p_most BIGINT, p_now BIGINT
) RETURNS TEXT
LANGUAGE plpgsql AS $$
BEGIN
    -- One that has expired is as good as gone.
    INSERT INTO tickets (purpose, key, payload, expires_at) VALUES (p_purpose, p_key, p_payload, p_expires_at)
        ON CONFLICT (purpose, key) DO UPDATE SET payload = excluded.payload, expires_at = excluded.expires_at
        WHERE tickets.expires_at <= p_now;
    IF NOT FOUND THEN
        RETURN 'exists';
    END IF;
    IF (SELECT tickets FROM ticket_counts WHERE purpose = p_purpose) <= p_most THEN
        RETURN 'done';
    END IF;
    -- A few at a time: a deposit needs one place, and the sweep does the rest.
    DELETE FROM tickets WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tickets WHERE purpose = p_purpose AND expires_at <= p_now AND key <> p_key
            ORDER BY expires_at LIMIT 64 FOR UPDATE SKIP LOCKED
    ));
    IF (SELECT tickets FROM ticket_counts WHERE purpose = p_purpose) <= p_most THEN
        RETURN 'done';
    END IF;
    DELETE FROM tickets WHERE purpose = p_purpose AND key = p_key;
    RETURN 'full';
END
$$;
