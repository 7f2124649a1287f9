-- Thresholds that a tenant chose for its own voices: one row for each voice model and channel.

CREATE TABLE calibrations (
    tenant TEXT NOT NULL,
    model TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('wide', 'narrow')),
    -- AES-256-GCM over JSON, bound to the columns before: whoever can write this table, but has not
    -- the store's key, cannot make the server accept strangers.
    record BLOB NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, model, channel)
);
