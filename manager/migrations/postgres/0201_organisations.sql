-- The tree of a company's organisations. `path` holds the ids from the root to this one, each followed by a slash, so
-- that a subtree is one prefix.
CREATE TABLE organisations (
    organisation_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    parent_id TEXT REFERENCES organisations (organisation_id),
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);

CREATE INDEX organisations_path ON organisations (company_id, path);

-- Roles that a company made; those of the product are in the program.
CREATE TABLE roles (
    role_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    name TEXT NOT NULL,
    base TEXT NOT NULL,
    reach TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);

-- Labels of accounts, many to many.
CREATE TABLE account_groups (
    group_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    name TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (company_id, name)
);

CREATE TABLE account_group_members (
    group_id TEXT NOT NULL REFERENCES account_groups (group_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    PRIMARY KEY (group_id, operator_id)
);

CREATE INDEX account_group_members_operator ON account_group_members (operator_id);
