-- Links with which the owner of an account sets a password; the link itself has the token, the row its hash.
-- purpose: reset or invitation.
CREATE TABLE password_links (
    token_hash TEXT NOT NULL PRIMARY KEY,
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    purpose TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    used_at_ms BIGINT
);

CREATE INDEX password_links_operator ON password_links (operator_id);
CREATE INDEX password_links_expiry ON password_links (expires_at_ms);

-- Who asked for such a link, by what was typed; answered a moment later, so that the answer tells nothing.
CREATE TABLE password_requests (
    request_id TEXT NOT NULL PRIMARY KEY,
    company TEXT NOT NULL,
    user_id TEXT NOT NULL,
    lang TEXT NOT NULL,
    source TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE INDEX password_requests_at ON password_requests (at_ms);
