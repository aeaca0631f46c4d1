CREATE TABLE companies (
    company_id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    lockout_failures_max BIGINT NOT NULL,
    lockout_ms BIGINT NOT NULL,
    lockout_window_ms BIGINT NOT NULL,
    password_len_max BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE operators (
    operator_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    stopped BOOLEAN NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE (company_id, user_id)
);

CREATE TABLE administrators (
    admin_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
