CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    reception_id TEXT NOT NULL REFERENCES receptions (reception_id),
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    operator_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    customer_token_hash TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    entered_at_ms BIGINT NOT NULL,
    hard_end_at_ms BIGINT NOT NULL,
    last_seen_at_ms BIGINT NOT NULL,
    paired_at_ms BIGINT,
    proved_at_ms BIGINT,
    view_granted_at_ms BIGINT,
    connected_at_ms BIGINT,
    ended_at_ms BIGINT,
    end_reason TEXT,
    duration_ms BIGINT,
    relay_ended_at_ms BIGINT,
    relay_end_reason TEXT,
    customer_bytes BIGINT NOT NULL,
    operator_bytes BIGINT NOT NULL,
    device TEXT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX sessions_operator ON sessions (operator_id, entered_at_ms);
CREATE INDEX sessions_company ON sessions (company_id, entered_at_ms);
CREATE INDEX sessions_reception ON sessions (reception_id);
CREATE INDEX sessions_ended ON sessions (ended_at_ms);
CREATE INDEX sessions_live ON sessions (last_seen_at_ms) WHERE ended_at_ms IS NULL;

-- What the customer allowed, refused and took back, in order.
CREATE TABLE consents (
    session_id TEXT NOT NULL REFERENCES sessions (session_id),
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (session_id, seq)
);
