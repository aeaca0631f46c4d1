-- The hash of the row before the newest one: the statement that appends moves the head and needs both. Managers of before
-- leave it as it is.
ALTER TABLE audit_head ADD COLUMN prev_hash TEXT NOT NULL DEFAULT '';
