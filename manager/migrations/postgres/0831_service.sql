-- The service as a whole: one row. While `halted_at_ms` is set, no company is served.
CREATE TABLE service (
    slot BIGINT NOT NULL PRIMARY KEY CHECK (slot = 1),
    halted_at_ms BIGINT,
    version BIGINT NOT NULL
);

INSERT INTO service (slot, halted_at_ms, version) VALUES (1, NULL, 0);
