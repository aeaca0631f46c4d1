-- PostgreSQL's statement that appends needs it; here it stays empty, so that both have the same columns.
ALTER TABLE audit_head ADD COLUMN prev_hash TEXT NOT NULL DEFAULT '';
