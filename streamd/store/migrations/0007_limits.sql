-- What the processes of a store tell each other about the use of each key, so that its limits hold
-- for all of them together. Nothing here outlives its purpose by more than a minute.

-- Sockets that a process has open with a key. A process writes its rows again every few seconds;
-- those of one that was killed expire.
CREATE TABLE open_sockets (
    process TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sockets INTEGER NOT NULL,
    -- Unix milliseconds.
    until_at INTEGER NOT NULL,
    PRIMARY KEY (process, key_id)
);

CREATE INDEX open_sockets_of_key ON open_sockets (key_id);

-- What was used of a limit on uses a second, as the time after which all of it may be used again.
CREATE TABLE rates (
    bucket TEXT PRIMARY KEY,
    -- That time, in microseconds from changed_at on.
    debt_us INTEGER NOT NULL,
    -- Unix milliseconds.
    changed_at INTEGER NOT NULL
);

CREATE INDEX rates_by_time ON rates (changed_at);
