-- Files of accounts that were brought and not run yet; they are forgotten after an hour.
CREATE TABLE imports (
    import_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    mode TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE INDEX imports_operator ON imports (operator_id);
CREATE INDEX imports_age ON imports (created_at_ms);
