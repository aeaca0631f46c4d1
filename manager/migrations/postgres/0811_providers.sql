-- The identity provider of a company. `secret_sealed` is the secret of this service as its client, when it has one.
CREATE TABLE providers (
    company_id TEXT NOT NULL PRIMARY KEY REFERENCES companies (company_id),
    in_force BOOLEAN NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    secret_sealed TEXT,
    -- What the button of the login says; empty for the usual words.
    button TEXT NOT NULL,
    -- Whether the provider asks for the second factor, so that none is asked for here.
    asks_factor BOOLEAN NOT NULL,
    version BIGINT NOT NULL
);

-- Which person of a provider opens an account: the provider's own name of the person, which is never given again.
CREATE TABLE provider_links (
    operator_id TEXT NOT NULL PRIMARY KEY REFERENCES operators (operator_id),
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    linked_at_ms BIGINT NOT NULL
);

CREATE UNIQUE INDEX provider_links_subject ON provider_links (company_id, issuer, subject);

-- Browsers that are at a provider now. A row is taken once, by the browser that has the cookie of this hash.
CREATE TABLE provider_flows (
    secret_hash TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    -- Who binds the own account; nobody for a login.
    operator_id TEXT REFERENCES operators (operator_id),
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    next TEXT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

CREATE INDEX provider_flows_company ON provider_flows (company_id);
CREATE INDEX provider_flows_expiry ON provider_flows (expires_at_ms);

-- Whether a login came by the provider, so that what holds for passwords does not hold for it.
ALTER TABLE site_logins ADD COLUMN by_provider BOOLEAN NOT NULL DEFAULT FALSE;
