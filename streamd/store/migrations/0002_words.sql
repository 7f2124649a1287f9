-- Wake words of the user's own.

CREATE TABLE words (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON: what may be told about the word; see streamd/modules/words.py.
    info TEXT NOT NULL,
    -- AES-256-GCM over little-endian float32, since it is made of recordings of a voice.
    head BLOB NOT NULL,
    UNIQUE (tenant, name)
);
