CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    company_id TEXT,
    actor TEXT NOT NULL,
    event TEXT NOT NULL,
    reception_id TEXT,
    session_id TEXT,
    detail TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE INDEX audit_company ON audit (company_id, seq);
CREATE INDEX audit_session ON audit (session_id);
CREATE INDEX audit_reception ON audit (reception_id);

-- The newest row. Appending locks it, so that the chain cannot fork.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

INSERT INTO audit_head (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
