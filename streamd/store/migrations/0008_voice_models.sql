-- A recording may be heard by several models: it has a row for each, under one id.

DROP INDEX enrolments_by_public_id;
CREATE UNIQUE INDEX enrolments_by_public_id ON enrolments (public_id, model);
