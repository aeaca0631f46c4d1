-- What a company sorts its cases by.
CREATE TABLE categories (
    category_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    name TEXT NOT NULL,
    -- Not offered any more; cases that have it keep it.
    retired BOOLEAN NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);

-- What people write about a session. result: resolved, ongoing, handed_over, unresolved or nothing.
ALTER TABLE sessions ADD COLUMN case_number TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN category_id TEXT REFERENCES categories (category_id);
ALTER TABLE sessions ADD COLUMN result TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN customer_name TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN case_version BIGINT NOT NULL DEFAULT 0;
-- Operator, reason, device, case number, customer and note, folded for the search.
ALTER TABLE sessions ADD COLUMN search TEXT NOT NULL DEFAULT '';

UPDATE sessions SET search = LOWER(operator_name || reason || device);
