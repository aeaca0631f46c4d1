-- What a fresh ticket of a session is made of. NULL and empty for sessions that began before this migration.
ALTER TABLE sessions ADD COLUMN customer_key_hash TEXT;
ALTER TABLE sessions ADD COLUMN operator_key_hash TEXT;
-- The relays of the session in their order, a JSON array of ids.
ALTER TABLE sessions ADD COLUMN relay_ids TEXT NOT NULL DEFAULT '[]';
