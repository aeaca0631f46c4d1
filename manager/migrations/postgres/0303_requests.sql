-- What two persons do about the data of a company: one asks, another agrees. kind: erase or disclose. state: asked,
-- agreed, done, refused or withdrawn. Code and name stand here because the company's row loses them.
CREATE TABLE requests (
    request_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    company_code TEXT NOT NULL,
    company_name TEXT NOT NULL,
    -- Of a disclosure: the account, empty for everybody, and the period.
    user_id TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_by TEXT NOT NULL REFERENCES operators (operator_id),
    asked_at_ms BIGINT NOT NULL,
    decided_by TEXT REFERENCES operators (operator_id),
    decided_at_ms BIGINT,
    decided_reason TEXT NOT NULL,
    done_at_ms BIGINT,
    -- Of an erasure: how many rows of which table are gone, JSON; and the certificate.
    counts TEXT NOT NULL,
    certificate TEXT NOT NULL
);

CREATE INDEX requests_asked ON requests (asked_at_ms);
-- One open request of a kind for a company.
CREATE UNIQUE INDEX requests_open ON requests (company_id, kind, user_id) WHERE state = 'asked';

-- A row whose content was erased with its company: its hash stays, and a later row vouches for it.
ALTER TABLE audit ADD COLUMN erased BOOLEAN NOT NULL DEFAULT FALSE;

-- Behind which row the chain begins; the rows before were purged, and a later row vouches for this one.
CREATE TABLE audit_anchor (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

INSERT INTO audit_anchor (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
