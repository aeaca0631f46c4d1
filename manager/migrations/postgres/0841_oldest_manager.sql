-- The oldest managers that this schema serves, by the number that each has of itself (`db::migrate::GENERATION`).
ALTER TABLE service ADD COLUMN oldest_manager BIGINT NOT NULL DEFAULT 1;
