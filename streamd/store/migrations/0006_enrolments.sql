-- What may be told about each enrolment: an id, and the verdict on its quality.

ALTER TABLE enrolments ADD COLUMN public_id TEXT NOT NULL DEFAULT '';
-- JSON, as streamd/files/quality.py writes it; empty where it is not known.
ALTER TABLE enrolments ADD COLUMN quality TEXT NOT NULL DEFAULT '';

UPDATE enrolments SET public_id = 'e_' || id;

CREATE UNIQUE INDEX enrolments_by_public_id ON enrolments (public_id);
