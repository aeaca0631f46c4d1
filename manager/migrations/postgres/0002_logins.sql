CREATE TABLE logins (
    token_hash TEXT NOT NULL PRIMARY KEY,
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    created_at_ms BIGINT NOT NULL,
    used_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);

CREATE INDEX logins_operator ON logins (operator_id);
CREATE INDEX logins_expiry ON logins (expires_at_ms);

-- One row for each company code and user id that somebody tried, whether they exist or not.
CREATE TABLE login_attempts (
    account_hash TEXT NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    window_start_ms BIGINT NOT NULL,
    locked_until_ms BIGINT NOT NULL,
    forget_at_ms BIGINT NOT NULL
);

CREATE INDEX login_attempts_forget ON login_attempts (forget_at_ms);

CREATE TABLE throttles (
    scope TEXT NOT NULL,
    bucket TEXT NOT NULL,
    taken BIGINT NOT NULL,
    window_end_ms BIGINT NOT NULL,
    PRIMARY KEY (scope, bucket)
);

CREATE INDEX throttles_window_end ON throttles (window_end_ms);
