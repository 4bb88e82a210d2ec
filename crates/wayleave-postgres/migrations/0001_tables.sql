-- Sessions, tickets and every directory. Times are milliseconds since 1970 in UTC. `client`, `context`, `data`,
-- `rotation_client`, `secret` and `payload` hold sealed envelopes; NULL where there is nothing to seal. Session and
-- refresh tokens are known by their SHA-256 alone. Text is compared byte by byte, whatever the database's locale is.

-- Since which schema a node must know this one to work with it: a row for each migration that older nodes do not
-- survive. Nodes of several versions work side by side otherwise.
CREATE TABLE compatibility (
    version BIGINT NOT NULL PRIMARY KEY,
    needs   BIGINT NOT NULL
);

CREATE TABLE sessions (
    id                   BYTEA   NOT NULL PRIMARY KEY CHECK (length(id) = 18),
    -- The form of the row: a node leaves rows alone whose form is newer than what it knows.
    form                 BIGINT  NOT NULL DEFAULT 1,
    prefix               TEXT    COLLATE "C" NOT NULL,
    slot                 BIGINT  NOT NULL,
    family               BYTEA   NOT NULL CHECK (length(family) = 16),
    kind                 TEXT    COLLATE "C" NOT NULL,
    subject              TEXT    COLLATE "C",
    created_at           BIGINT  NOT NULL,
    absolute_expires_at  BIGINT  NOT NULL,
    token                BYTEA   NOT NULL CHECK (length(token) = 32),
    refresh              BYTEA,
    generation           BIGINT,
    rotation_predecessor BYTEA,
    rotation_at          BIGINT,
    rotation_client      BYTEA,
    -- Tells whether it is the same client, without showing which.
    rotation_client_tag  BYTEA,
    rotation_pair        BYTEA,
    actor                TEXT    COLLATE "C",
    permissions          TEXT    COLLATE "C" NOT NULL,
    methods              BIGINT,
    authenticated_at     BIGINT,
    level                BIGINT,
    epoch                BIGINT  NOT NULL,
    remembered           BOOLEAN NOT NULL,
    licence              TEXT    COLLATE "C",
    last_seen_at         BIGINT  NOT NULL,
    idle_expires_at      BIGINT,
    token_expires_at     BIGINT  NOT NULL,
    expired_at           BIGINT,
    -- What `Record::ends_at` says: limits and sweeps go by it.
    ends_at              BIGINT  NOT NULL GENERATED ALWAYS AS (least(
        absolute_expires_at, idle_expires_at, expired_at, CASE WHEN refresh IS NULL THEN token_expires_at END
    )) STORED,
    confirmation         BYTEA,
    revision             BIGINT  NOT NULL,
    client               BYTEA,
    context              BYTEA,
    data                 BYTEA
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX sessions_by_token   ON sessions (token);
CREATE UNIQUE INDEX sessions_by_refresh ON sessions (refresh) WHERE refresh IS NOT NULL;
CREATE INDEX sessions_by_subject        ON sessions (subject, created_at, id) WHERE subject IS NOT NULL;
CREATE INDEX sessions_by_family         ON sessions (family);
CREATE INDEX sessions_by_creation       ON sessions (created_at, id);
CREATE INDEX sessions_by_end            ON sessions (ends_at, kind);
CREATE INDEX sessions_by_sealed_pair    ON sessions (rotation_at) WHERE rotation_pair IS NOT NULL;

CREATE TABLE spent_refresh_tokens (
    hash   BYTEA  NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    family BYTEA  NOT NULL,
    at     BIGINT NOT NULL,
    -- From then on it is looked whether anything is left of its family.
    until  BIGINT NOT NULL
);

CREATE INDEX spent_refresh_tokens_by_family ON spent_refresh_tokens (family, at);
CREATE INDEX spent_refresh_tokens_by_until  ON spent_refresh_tokens (until);

CREATE TABLE tickets (
    purpose    TEXT   COLLATE "C" NOT NULL,
    key        BYTEA  NOT NULL CHECK (length(key) = 32),
    payload    BYTEA,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (purpose, key)
);

CREATE INDEX tickets_by_expiry ON tickets (expires_at);
CREATE INDEX tickets_by_purpose_and_expiry ON tickets (purpose, expires_at);

-- How many tickets there are of a purpose, so that a deposit does not count them.
CREATE TABLE ticket_counts (
    purpose TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    tickets BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE accounts (
    id                   TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    email                TEXT    COLLATE "C" NOT NULL UNIQUE,
    name                 TEXT    COLLATE "C" NOT NULL,
    role                 TEXT    COLLATE "C" NOT NULL,
    phone                TEXT    COLLATE "C",
    labels               BYTEA   NOT NULL,
    avatar               TEXT    COLLATE "C",
    permissions          TEXT    COLLATE "C" NOT NULL,
    -- The same, for looking up who holds one.
    holds                TEXT[]  COLLATE "C" NOT NULL GENERATED ALWAYS AS (string_to_array(permissions, ' ')) STORED,
    disabled             BOOLEAN NOT NULL,
    must_change_password BOOLEAN NOT NULL,
    epoch                BIGINT  NOT NULL,
    created_at           BIGINT  NOT NULL,
    updated_at           BIGINT  NOT NULL,
    last_sign_in_at      BIGINT,
    revision             BIGINT  NOT NULL
);

CREATE INDEX accounts_by_permission ON accounts USING gin (holds) WHERE NOT disabled;

CREATE TABLE credentials (
    account    TEXT   COLLATE "C" NOT NULL,
    method     TEXT   COLLATE "C" NOT NULL,
    secret     BYTEA  NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (account, method)
);

CREATE TABLE known_devices (
    -- In the order in which they were remembered.
    number     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    TEXT   COLLATE "C" NOT NULL,
    key        BYTEA  NOT NULL CHECK (length(key) = 32),
    expires_at BIGINT NOT NULL,
    UNIQUE (account, key)
);

CREATE INDEX known_devices_by_expiry ON known_devices (expires_at);

CREATE TABLE settings (
    name     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    value    BYTEA  NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE counters (
    key          BYTEA  NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    attempts     BIGINT NOT NULL,
    since        BIGINT,
    locked_until BIGINT
);

CREATE INDEX counters_by_since ON counters (since);

CREATE TABLE invitations (
    key         BYTEA  NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    email       TEXT   COLLATE "C",
    permissions TEXT   COLLATE "C" NOT NULL,
    created_by  TEXT   COLLATE "C",
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);

CREATE INDEX invitations_by_creation ON invitations (created_at DESC, key);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

CREATE TABLE service_keys (
    name        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    key         BYTEA  NOT NULL UNIQUE CHECK (length(key) = 32),
    permissions TEXT   COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT
);

CREATE TABLE audit (
    -- In the order in which they arrived; the cursor of pages.
    number   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node     TEXT   COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    mac      BYTEA  NOT NULL CHECK (length(mac) = 32),
    at       BIGINT NOT NULL,
    event    TEXT   COLLATE "C" NOT NULL,
    session  TEXT   COLLATE "C",
    subject  TEXT   COLLATE "C",
    actor    TEXT   COLLATE "C",
    source   TEXT   COLLATE "C",
    reason   TEXT   COLLATE "C",
    request  TEXT   COLLATE "C",
    count    BIGINT NOT NULL,
    detail   TEXT   COLLATE "C",
    CONSTRAINT audit_chain UNIQUE (node, sequence)
);

CREATE INDEX audit_by_subject ON audit (subject, number) WHERE subject IS NOT NULL;
CREATE INDEX audit_by_event ON audit (event, number);
