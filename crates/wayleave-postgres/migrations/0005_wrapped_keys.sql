-- Keys that clients wrap, beside the credential whose secret opens them.

ALTER TABLE credentials ADD COLUMN wrapped_key BYTEA;
-- What tells it from others; there when the key is.
ALTER TABLE credentials ADD COLUMN wrapped_key_tag BYTEA CHECK (length(wrapped_key_tag) = 16);

-- Puts a credential and its key in the place of the one that was set at `p_set_at`, or of none, and removes the one that it
-- supersedes. `done`, `moved`, or `key` when another key is beside it than `p_replaces`, or one where that is null.
CREATE FUNCTION credential_exchange(
    p_account TEXT, p_method TEXT, p_secret BYTEA, p_changed_at BIGINT, p_set_at BIGINT, p_superseded TEXT,
    p_wrapped_key BYTEA, p_wrapped_key_tag BYTEA, p_replaces BYTEA
) RETURNS TEXT
LANGUAGE plpgsql AS $$
DECLARE
    held credentials;
BEGIN
    SELECT * INTO held FROM credentials WHERE account = p_account AND method = p_method FOR UPDATE;
    IF NOT FOUND THEN
        IF p_set_at IS NOT NULL THEN
            RETURN 'moved';
        ELSIF p_replaces IS NOT NULL THEN
            RETURN 'key';
        END IF;
        -- Somebody else may be first.
        INSERT INTO credentials (account, method, secret, changed_at, wrapped_key, wrapped_key_tag)
            VALUES (p_account, p_method, p_secret, p_changed_at, p_wrapped_key, p_wrapped_key_tag)
            ON CONFLICT (account, method) DO NOTHING;
        IF NOT FOUND THEN
            RETURN 'moved';
        END IF;
    ELSIF held.changed_at IS DISTINCT FROM p_set_at THEN
        RETURN 'moved';
    ELSIF held.wrapped_key_tag IS DISTINCT FROM p_replaces THEN
        RETURN 'key';
    ELSE
        UPDATE credentials SET secret = p_secret, changed_at = p_changed_at, wrapped_key = p_wrapped_key,
                wrapped_key_tag = p_wrapped_key_tag
            WHERE account = p_account AND method = p_method;
    END IF;
    DELETE FROM credentials WHERE account = p_account AND method = p_superseded;
    RETURN 'done';
END
$$;

-- Puts a key beside a credential. `done`, `moved` as above, or `none` where there is no credential.
CREATE FUNCTION credential_wrap(
    p_account TEXT, p_method TEXT, p_wrapped_key BYTEA, p_wrapped_key_tag BYTEA, p_replaces BYTEA
) RETURNS TEXT
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE credentials SET wrapped_key = p_wrapped_key, wrapped_key_tag = p_wrapped_key_tag
        WHERE account = p_account AND method = p_method AND wrapped_key_tag IS NOT DISTINCT FROM p_replaces;
    IF FOUND THEN
        RETURN 'done';
    ELSIF EXISTS (SELECT FROM credentials WHERE account = p_account AND method = p_method) THEN
        RETURN 'moved';
    ELSE
        RETURN 'none';
    END IF;
END
$$;
