-- Receptions that a device management started for a device that it knows. One waits until an operator takes its number,
-- which makes the row of `receptions` with the same id. state: waiting, taken, expired or cancelled.
CREATE TABLE device_starts (
    reception_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    token_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    -- What the device management calls it.
    device_id TEXT NOT NULL,
    -- JSON.
    device TEXT NOT NULL,
    applications TEXT NOT NULL,
    -- The device, folded for searching.
    search TEXT NOT NULL,
    customer_name TEXT NOT NULL,
    case_number TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- Whom it is for: one account, or the accounts of a group, or else any.
    operator_id TEXT REFERENCES operators (operator_id),
    group_id TEXT,
    locator_mac TEXT NOT NULL,
    locator_sealed TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at_ms BIGINT NOT NULL,
    life_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    closed_at_ms BIGINT,
    UNIQUE (token_id, idempotency_key)
);

-- A device waits with one number at a time.
CREATE UNIQUE INDEX device_starts_waiting ON device_starts (company_id, device_id) WHERE state = 'waiting';
CREATE INDEX device_starts_locator ON device_starts (locator_mac) WHERE state = 'waiting';
CREATE INDEX device_starts_expiry ON device_starts (expires_at_ms) WHERE state = 'waiting';
CREATE INDEX device_starts_closed ON device_starts (company_id, closed_at_ms);

-- The device of a session that a device management started: what that calls it, and how it was described then, JSON.
ALTER TABLE sessions ADD COLUMN managed_device TEXT;
ALTER TABLE sessions ADD COLUMN managed TEXT;
CREATE INDEX sessions_device ON sessions (company_id, managed_device, entered_at_ms) WHERE managed_device IS NOT NULL;
