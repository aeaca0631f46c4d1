-- Where other programs of a company hear of what happens. `events` are names with a space before and behind each; the
-- secret is sealed.
CREATE TABLE webhooks (
    webhook_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret_sealed TEXT NOT NULL,
    stopped BOOLEAN NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX webhooks_company ON webhooks (company_id);

-- What they are told. state: queued, sent or failed (given up, or nobody wants it).
CREATE TABLE webhook_calls (
    call_id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (webhook_id),
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    event TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    reception_id TEXT,
    session_id TEXT,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    sent_at_ms BIGINT,
    -- What came back last.
    answer TEXT NOT NULL,
    -- The manager that is calling, and until when nobody else does.
    claim TEXT NOT NULL,
    claimed_until_ms BIGINT NOT NULL
);

CREATE INDEX webhook_calls_queued ON webhook_calls (webhook_id, due_at_ms) WHERE state = 'queued';
CREATE INDEX webhook_calls_listed ON webhook_calls (webhook_id, at_ms);
CREATE INDEX webhook_calls_company ON webhook_calls (company_id);
