-- The sessions of one operator in the order of the support log.
CREATE INDEX sessions_of_operator ON sessions (company_id, operator_id, entered_at_ms, session_id);

-- Kinds of events are ranges of names: by their bytes, whatever the database is ordered by.
ALTER TABLE audit ALTER COLUMN event TYPE TEXT COLLATE "C";
