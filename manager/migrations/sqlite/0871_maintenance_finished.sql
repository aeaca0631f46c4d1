-- When somebody said that the work of the window is finished, between its beginning and `ends_at_ms`, which stays the
-- announced end; NULL when nobody did.
ALTER TABLE maintenances ADD COLUMN finished_at_ms BIGINT;
