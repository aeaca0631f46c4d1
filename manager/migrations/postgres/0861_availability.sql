-- Since when the service stood still because of the incident; NULL when it did not.
ALTER TABLE incidents ADD COLUMN stopped_at_ms BIGINT;
-- Until when; NULL while it stands still. An incident that is closed has it where it has the one above.
ALTER TABLE incidents ADD COLUMN stopped_until_ms BIGINT;

-- Every halt of the whole service, by the version of `service` that it made. A manager of before writes only `service`:
-- a row that is open here is open when `service` is halted and has its version.
CREATE TABLE halts (
    version BIGINT NOT NULL PRIMARY KEY,
    halted_at_ms BIGINT NOT NULL,
    lifted_at_ms BIGINT
);

INSERT INTO halts (version, halted_at_ms, lifted_at_ms)
SELECT version, halted_at_ms, NULL FROM service WHERE halted_at_ms IS NOT NULL;
