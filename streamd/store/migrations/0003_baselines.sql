-- What a module learned of how a voice sounds otherwise: one per voice and model.

CREATE TABLE baselines (
    speaker_id INTEGER NOT NULL REFERENCES speakers (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    -- AES-256-GCM over what the module made of it; see streamd/store/cipher.py.
    baseline BLOB NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (speaker_id, model)
);
