-- The vault's blobs: ciphertext of clients, never looked at. Times are milliseconds since 1970 in UTC.

-- A version is an upload until it is committed, then current under its name, then replaced (or deleted) and kept for
-- whoever is reading it. `at` is when it became what it is.
CREATE TABLE vault_versions (
    id     BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    owner  TEXT    NOT NULL,
    state  TEXT    NOT NULL CHECK (state IN ('upload', 'current', 'replaced')),
    name   TEXT    CHECK ((name IS NOT NULL) = (state = 'current')),
    size   INTEGER NOT NULL,
    pieces INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX vault_current_versions ON vault_versions (owner, name) WHERE state = 'current';
CREATE INDEX vault_versions_by_owner       ON vault_versions (owner, state, at);
CREATE INDEX vault_versions_by_time        ON vault_versions (state, at);

CREATE TABLE vault_pieces (
    version BLOB    NOT NULL REFERENCES vault_versions (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    content BLOB    NOT NULL CHECK (length(content) BETWEEN 1 AND 262144),
    PRIMARY KEY (version, number)
) STRICT;

-- How many versions an owner has in each state, so that a piece does not count them.
CREATE TABLE vault_usage (
    owner    TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    versions INTEGER NOT NULL CHECK (versions >= 0),
    bytes    INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (owner, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER vault_versions_in AFTER INSERT ON vault_versions
BEGIN
    INSERT INTO vault_usage (owner, state, versions, bytes) VALUES (NEW.owner, NEW.state, 1, NEW.size)
        ON CONFLICT (owner, state) DO UPDATE SET versions = versions + 1, bytes = bytes + NEW.size;
END;

CREATE TRIGGER vault_versions_changed AFTER UPDATE OF state, size ON vault_versions
BEGIN
    UPDATE vault_usage SET versions = versions - 1, bytes = bytes - OLD.size
        WHERE owner = OLD.owner AND state = OLD.state;
    INSERT INTO vault_usage (owner, state, versions, bytes) VALUES (NEW.owner, NEW.state, 1, NEW.size)
        ON CONFLICT (owner, state) DO UPDATE SET versions = versions + 1, bytes = bytes + NEW.size;
END;

CREATE TRIGGER vault_versions_out AFTER DELETE ON vault_versions
BEGIN
    UPDATE vault_usage SET versions = versions - 1, bytes = bytes - OLD.size
        WHERE owner = OLD.owner AND state = OLD.state;
END;
