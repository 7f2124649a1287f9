-- Who may connect, and what processes that share the store must agree on. Times are Unix
-- milliseconds.

-- One row, whose number is drawn anew at each change of a voice, a word or a key.
-- What else is written, as a ticket that is used up, makes nobody read them again.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY,
    token INTEGER NOT NULL
);

INSERT INTO changes VALUES (1, 0);

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    -- Names, with a comma between two.
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    -- AES-256-GCM over the SHA-256 of the secret part, bound to all other columns: whoever can
    -- write this table, but has not the store's key, can neither add a key nor change one.
    digest BLOB NOT NULL
);

CREATE UNIQUE INDEX keys_in_force ON keys (name) WHERE revoked_at IS NULL;

-- Tickets that were used, until they would no longer be good anyway.
CREATE TABLE tickets (
    id TEXT PRIMARY KEY,
    until_at INTEGER NOT NULL
);

CREATE INDEX tickets_by_time ON tickets (until_at);

-- One row for each use that counts against a limit, until it no longer does.
CREATE TABLE uses (
    id INTEGER PRIMARY KEY,
    bucket TEXT NOT NULL,
    until_at INTEGER NOT NULL
);

CREATE INDEX uses_of_bucket ON uses (bucket, until_at);
CREATE INDEX uses_by_time ON uses (until_at);

-- First replies to requests with an idempotency key.
CREATE TABLE answers (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of what was asked.
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    -- AES-256-GCM over the body.
    body BLOB NOT NULL,
    until_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX answers_by_time ON answers (until_at);
