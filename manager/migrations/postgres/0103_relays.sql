CREATE TABLE relays (
    relay_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token_hash TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,
    spki TEXT NOT NULL,
    program_version TEXT NOT NULL,
    draining BOOLEAN NOT NULL,
    free_sessions BIGINT NOT NULL,
    -- 0 when it was never heard.
    heard_at_ms BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE INDEX relays_heard ON relays (heard_at_ms);

-- How far the reports of one run of a relay are stored.
CREATE TABLE relay_reports (
    relay_id TEXT NOT NULL REFERENCES relays (relay_id),
    boot TEXT NOT NULL,
    stored_seq BIGINT NOT NULL,
    reported_at_ms BIGINT NOT NULL,
    PRIMARY KEY (relay_id, boot)
);

CREATE INDEX relay_reports_age ON relay_reports (reported_at_ms);
