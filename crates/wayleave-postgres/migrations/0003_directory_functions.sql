-- What the directories do in more than one step. As with sessions, arguments and answers of a function never change.

-- `done`, `conflict`, `email` when another account has the address, or `missing`.
CREATE FUNCTION account_update(
    p_id TEXT, p_email TEXT, p_name TEXT, p_role TEXT, p_phone TEXT, p_labels BYTEA, p_avatar TEXT,
    p_permissions TEXT, p_disabled BOOLEAN, p_must_change_password BOOLEAN, p_epoch BIGINT, p_updated_at BIGINT,
    p_last_sign_in_at BIGINT, p_revision BIGINT
) RETURNS TEXT
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET
            email = p_email, name = p_name, role = p_role, phone = p_phone, labels = p_labels, avatar = p_avatar,
            permissions = p_permissions, disabled = p_disabled, must_change_password = p_must_change_password,
            epoch = greatest(epoch, p_epoch), updated_at = p_updated_at, last_sign_in_at = p_last_sign_in_at,
            revision = revision + 1
        WHERE id = p_id AND revision = p_revision;
    IF FOUND THEN
        RETURN 'done';
    ELSIF EXISTS (SELECT FROM accounts WHERE id = p_id) THEN
        RETURN 'conflict';
    ELSE
        RETURN 'missing';
    END IF;
EXCEPTION WHEN unique_violation THEN
    RETURN 'email';
END
$$;

-- By `Counter::reserve`. `granted` is false where the counter is locked; the rest is the counter as it is now.
CREATE FUNCTION counter_reserve(
    p_key BYTEA, p_attempts BIGINT, p_window BIGINT, p_now BIGINT, p_locked_until BIGINT, p_end_of_time BIGINT
) RETURNS TABLE (granted BOOLEAN, attempts BIGINT, since BIGINT, locked_until BIGINT)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held  counters;
    tried BIGINT := 1;
    began BIGINT := p_now;
BEGIN
    SELECT * INTO held FROM counters WHERE key = p_key FOR UPDATE;
    IF NOT FOUND THEN
        -- Also where somebody else was first: the row is there then, and locked.
        INSERT INTO counters AS kept (key, attempts) VALUES (p_key, 0)
            ON CONFLICT (key) DO UPDATE SET attempts = kept.attempts RETURNING kept.* INTO held;
    END IF;
    IF p_now < held.locked_until THEN
        RETURN QUERY SELECT FALSE, held.attempts, held.since, held.locked_until;
        RETURN;
    END IF;
    IF held.locked_until IS NULL AND p_now < held.since + p_window AND p_now < p_end_of_time THEN
        tried := held.attempts + 1;
        began := held.since;
    END IF;
    RETURN QUERY UPDATE counters SET attempts = tried, since = began,
            locked_until = CASE WHEN tried >= p_attempts THEN p_locked_until END
        WHERE key = p_key RETURNING TRUE, counters.attempts, counters.since, counters.locked_until;
END
$$;

-- One at a time for each account, so that no more than so many are kept.
CREATE FUNCTION device_remember(
    p_lock INTEGER, p_account TEXT, p_key BYTEA, p_expires_at BIGINT, p_replaces BYTEA, p_most BIGINT, p_now BIGINT
) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_account));
    DELETE FROM known_devices WHERE account = p_account AND (key = p_key OR key = p_replaces OR expires_at <= p_now);
    INSERT INTO known_devices (account, key, expires_at) VALUES (p_account, p_key, p_expires_at);
    DELETE FROM known_devices WHERE number = ANY (ARRAY(
        SELECT number FROM known_devices WHERE account = p_account ORDER BY number DESC OFFSET p_most
    ));
END
$$;

CREATE FUNCTION devices_forget(p_lock INTEGER, p_account TEXT) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(p_lock, hashtext(p_account));
    DELETE FROM known_devices WHERE account = p_account;
END
$$;
