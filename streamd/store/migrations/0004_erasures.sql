-- One row for each change whose old pages may still lie in the write-ahead log.
-- It is written with that change and deleted after the log was emptied, so that a process that
-- dies in between leaves a note of what is to be done; see streamd/store/erasure.py.

CREATE TABLE erasures (
    -- AUTOINCREMENT: an id that is free again must not be given to a later change.
    id INTEGER PRIMARY KEY AUTOINCREMENT
);
