-- Tokens of the API, made by administrators of a company. One can do no more than the account that made it.
CREATE TABLE api_tokens (
    token_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    name TEXT NOT NULL,
    -- What the token begins with, so that its holder is known again.
    prefix TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    -- Words between spaces.
    scopes TEXT NOT NULL,
    -- Address ranges between spaces; without any, those from which the company lets accounts log in.
    networks TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    used_at_ms BIGINT,
    used_from TEXT NOT NULL,
    revoked_at_ms BIGINT
);

CREATE INDEX api_tokens_listed ON api_tokens (company_id, created_at_ms);
CREATE INDEX api_tokens_operator ON api_tokens (operator_id);
