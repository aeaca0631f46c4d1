CREATE TABLE receptions (
    reception_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    idempotency_key TEXT NOT NULL,
    locator_mac TEXT NOT NULL,
    locator_sealed TEXT NOT NULL,
    proof_key TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    -- One of the operator's few places for open numbers; NULL when the number is closed.
    open_slot BIGINT,
    session_id TEXT,
    issued_at_ms BIGINT NOT NULL,
    life_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    closed_at_ms BIGINT,
    unproved_count BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (operator_id, idempotency_key),
    UNIQUE (operator_id, open_slot)
);

CREATE INDEX receptions_locator ON receptions (locator_mac, state);
CREATE INDEX receptions_expiry ON receptions (state, expires_at_ms);

-- Which locators are in use or resting.
CREATE TABLE locators (
    locator_mac TEXT NOT NULL PRIMARY KEY,
    free_at_ms BIGINT NOT NULL
);

CREATE INDEX locators_free ON locators (free_at_ms);
