-- The first schema: sessions, tickets and every directory. Times are milliseconds since 1970 in UTC.
-- `client`, `context`, `data`, `rotation_client`, `secret` and `payload` hold sealed envelopes; NULL where there is
-- nothing to seal. Session and refresh tokens are known by their SHA-256 alone.

CREATE TABLE sessions (
    id                   BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 18),
    prefix               TEXT    NOT NULL,
    slot                 INTEGER NOT NULL,
    family               BLOB    NOT NULL CHECK (length(family) = 16),
    kind                 TEXT    NOT NULL,
    subject              TEXT,
    created_at           INTEGER NOT NULL,
    absolute_expires_at  INTEGER NOT NULL,
    token                BLOB    NOT NULL CHECK (length(token) = 32),
    refresh              BLOB,
    generation           INTEGER,
    rotation_predecessor BLOB,
    rotation_at          INTEGER,
    rotation_client      BLOB,
    rotation_pair        BLOB,
    actor                TEXT,
    permissions          TEXT    NOT NULL,
    methods              INTEGER,
    authenticated_at     INTEGER,
    level                INTEGER,
    epoch                INTEGER NOT NULL,
    remembered           INTEGER NOT NULL,
    licence              TEXT,
    last_seen_at         INTEGER NOT NULL,
    idle_expires_at      INTEGER,
    token_expires_at     INTEGER NOT NULL,
    expired_at           INTEGER,
    -- What `Record::ends_at` says: limits and sweeps go by it.
    ends_at              INTEGER NOT NULL,
    confirmation         BLOB,
    revision             INTEGER NOT NULL,
    client               BLOB,
    context              BLOB,
    data                 BLOB
) STRICT;

CREATE UNIQUE INDEX sessions_by_token   ON sessions (token);
CREATE UNIQUE INDEX sessions_by_refresh ON sessions (refresh) WHERE refresh IS NOT NULL;
CREATE INDEX sessions_by_subject        ON sessions (subject, created_at, id) WHERE subject IS NOT NULL;
CREATE INDEX sessions_by_family         ON sessions (family);
CREATE INDEX sessions_by_creation       ON sessions (created_at, id);
CREATE INDEX sessions_by_end            ON sessions (ends_at, kind);

CREATE TABLE spent_refresh_tokens (
    hash   BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    family BLOB    NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_refresh_tokens_by_family ON spent_refresh_tokens (family, at);

-- Spent tokens are of use as long as there is something left of their family to end.
CREATE TRIGGER sessions_last_of_family AFTER DELETE ON sessions
WHEN NOT EXISTS (SELECT 1 FROM sessions WHERE family = OLD.family)
BEGIN
    DELETE FROM spent_refresh_tokens WHERE family = OLD.family;
END;

CREATE TABLE tickets (
    purpose    TEXT    NOT NULL,
    key        BLOB    NOT NULL CHECK (length(key) = 32),
    payload    BLOB,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (purpose, key)
) STRICT;

CREATE INDEX tickets_by_expiry ON tickets (expires_at);
CREATE INDEX tickets_by_purpose_and_expiry ON tickets (purpose, expires_at);

-- How many tickets there are of a purpose, so that a deposit does not count them.
CREATE TABLE ticket_counts (
    purpose TEXT    NOT NULL PRIMARY KEY,
    tickets INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tickets_in AFTER INSERT ON tickets
BEGIN
    INSERT INTO ticket_counts (purpose, tickets) VALUES (NEW.purpose, 1)
        ON CONFLICT (purpose) DO UPDATE SET tickets = tickets + 1;
END;

CREATE TRIGGER tickets_out AFTER DELETE ON tickets
BEGIN
    UPDATE ticket_counts SET tickets = tickets - 1 WHERE purpose = OLD.purpose;
END;

CREATE TABLE accounts (
    id                   TEXT    NOT NULL PRIMARY KEY,
    email                TEXT    NOT NULL UNIQUE,
    name                 TEXT    NOT NULL,
    role                 TEXT    NOT NULL,
    phone                TEXT,
    labels               BLOB    NOT NULL,
    avatar               TEXT,
    permissions          TEXT    NOT NULL,
    disabled             INTEGER NOT NULL,
    must_change_password INTEGER NOT NULL,
    epoch                INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    last_sign_in_at      INTEGER,
    revision             INTEGER NOT NULL
) STRICT;

-- Who holds a permission; follows `accounts.permissions`.
CREATE TABLE account_permissions (
    permission TEXT NOT NULL,
    account    TEXT NOT NULL,
    PRIMARY KEY (permission, account)
) STRICT, WITHOUT ROWID;

CREATE INDEX account_permissions_by_account ON account_permissions (account);

CREATE TABLE credentials (
    account    TEXT    NOT NULL,
    method     TEXT    NOT NULL,
    secret     BLOB    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (account, method)
) STRICT;

CREATE TABLE known_devices (
    -- In the order in which they were remembered.
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    account    TEXT    NOT NULL,
    key        BLOB    NOT NULL CHECK (length(key) = 32),
    expires_at INTEGER NOT NULL,
    UNIQUE (account, key)
) STRICT;

CREATE TABLE settings (
    name     TEXT    NOT NULL PRIMARY KEY,
    value    BLOB    NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE counters (
    key          BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    attempts     INTEGER NOT NULL,
    since        INTEGER,
    locked_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX counters_by_since ON counters (since);

CREATE TABLE invitations (
    key         BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    email       TEXT,
    permissions TEXT    NOT NULL,
    created_by  TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX invitations_by_creation ON invitations (created_at);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

CREATE TABLE service_keys (
    name        TEXT    NOT NULL PRIMARY KEY,
    key         BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
    permissions TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;

CREATE TABLE audit (
    -- In the order in which they arrived; the cursor of pages.
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    node     TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    mac      BLOB    NOT NULL CHECK (length(mac) = 32),
    at       INTEGER NOT NULL,
    event    TEXT    NOT NULL,
    session  TEXT,
    subject  TEXT,
    actor    TEXT,
    source   TEXT,
    reason   TEXT,
    request  TEXT,
    count    INTEGER NOT NULL,
    detail   TEXT,
    UNIQUE (node, sequence)
) STRICT;

CREATE INDEX audit_by_subject ON audit (subject, number) WHERE subject IS NOT NULL;
CREATE INDEX audit_by_event ON audit (event, number);
