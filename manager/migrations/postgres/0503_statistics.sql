-- Figures of every hour, account by account, so that a year is read in one small range. A wait is in the column of the
-- first bound that is above it (see src/statistics/state.rs).
CREATE TABLE statistics (
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    hour_ms BIGINT NOT NULL,
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    receptions BIGINT NOT NULL,
    entered BIGINT NOT NULL,
    connected BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    handle_ms BIGINT NOT NULL,
    abnormal BIGINT NOT NULL,
    wait_ms BIGINT NOT NULL,
    w0 BIGINT NOT NULL,
    w1 BIGINT NOT NULL,
    w2 BIGINT NOT NULL,
    w3 BIGINT NOT NULL,
    w4 BIGINT NOT NULL,
    w5 BIGINT NOT NULL,
    w6 BIGINT NOT NULL,
    w7 BIGINT NOT NULL,
    w8 BIGINT NOT NULL,
    w9 BIGINT NOT NULL,
    w10 BIGINT NOT NULL,
    w11 BIGINT NOT NULL,
    PRIMARY KEY (company_id, hour_ms, operator_id)
);

CREATE INDEX statistics_hour ON statistics (hour_ms);

-- The most sessions that a company had at the same time in an hour.
CREATE TABLE statistics_peaks (
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    hour_ms BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (company_id, hour_ms)
);

CREATE INDEX statistics_peaks_hour ON statistics_peaks (hour_ms);

-- How far the figures are final, and when they were last made. One row.
CREATE TABLE statistics_state (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    final_until_ms BIGINT NOT NULL,
    made_at_ms BIGINT NOT NULL
);

INSERT INTO statistics_state (id, final_until_ms, made_at_ms) VALUES (1, 0, 0);

CREATE INDEX receptions_issued ON receptions (issued_at_ms);
CREATE INDEX sessions_entered ON sessions (entered_at_ms);
