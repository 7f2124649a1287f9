-- Voices and their enrolments. Times are Unix milliseconds.
-- No STRICT and no RETURNING: SQLite of older distributions has neither.

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    -- A sealed constant: tells at once whether the key file belongs to this database.
    value BLOB NOT NULL
);

CREATE TABLE speakers (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE enrolments (
    id INTEGER PRIMARY KEY,
    speaker_id INTEGER NOT NULL REFERENCES speakers (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('wide', 'narrow')),
    -- AES-256-GCM over little-endian float32; see streamd/store/cipher.py.
    embedding BLOB NOT NULL,
    speech_ms INTEGER NOT NULL CHECK (speech_ms >= 0),
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX enrolments_of_speaker ON enrolments (speaker_id);
CREATE INDEX enrolments_of_model ON enrolments (model);
