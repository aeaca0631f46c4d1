-- What these columns had is part of `policy`, like every other rule of a company. No company had other values than the
-- defaults; those who administer this service are locked sooner.
UPDATE companies SET policy = '{"login":{"failures_max":5}}' WHERE realm = 'system';
ALTER TABLE companies DROP COLUMN lockout_failures_max;
ALTER TABLE companies DROP COLUMN lockout_ms;
ALTER TABLE companies DROP COLUMN lockout_window_ms;
ALTER TABLE companies DROP COLUMN password_len_max;

-- Whose browser it is, before anybody has logged in with it again.
CREATE INDEX known_devices_device ON known_devices (device_hash);
