-- state: active, suspended, ended or erased. Without seats there is no limit. `policy` is JSON; what it lacks has the
-- product's default.
ALTER TABLE companies ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
ALTER TABLE companies ADD COLUMN seats BIGINT;
ALTER TABLE companies ADD COLUMN contract_begins_at_ms BIGINT;
ALTER TABLE companies ADD COLUMN contract_ends_at_ms BIGINT;
ALTER TABLE companies ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE companies ADD COLUMN contact TEXT NOT NULL DEFAULT '';
ALTER TABLE companies ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
ALTER TABLE companies ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

-- role is one of the product's; role_id one of the company's, which then decides instead.
ALTER TABLE operators ADD COLUMN role TEXT NOT NULL DEFAULT 'operator';
ALTER TABLE operators ADD COLUMN role_id TEXT REFERENCES roles (role_id);
ALTER TABLE operators ADD COLUMN organisation_id TEXT REFERENCES organisations (organisation_id);
ALTER TABLE operators ADD COLUMN kana TEXT NOT NULL DEFAULT '';
ALTER TABLE operators ADD COLUMN email TEXT NOT NULL DEFAULT '';
-- Name, kana, id and address, folded for the search.
ALTER TABLE operators ADD COLUMN search TEXT NOT NULL DEFAULT '';
ALTER TABLE operators ADD COLUMN password_changed_at_ms BIGINT NOT NULL DEFAULT 0;
-- The password was set by somebody else and must be changed.
ALTER TABLE operators ADD COLUMN password_initial BOOLEAN NOT NULL DEFAULT FALSE;
-- The secret of the second factor, sealed; and the last step whose code was taken, which is not taken again.
ALTER TABLE operators ADD COLUMN totp_sealed TEXT;
ALTER TABLE operators ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;
-- A lock that too many failures made, for the list; the counters themselves are in login_attempts.
ALTER TABLE operators ADD COLUMN locked_until_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operators ADD COLUMN last_login_at_ms BIGINT;
-- The account is gone; its row stays for the logs that name it, without anything personal but the name.
ALTER TABLE operators ADD COLUMN deleted_at_ms BIGINT;
ALTER TABLE operators ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

UPDATE operators SET search = LOWER(user_id || name), password_changed_at_ms = created_at_ms;

CREATE INDEX operators_listed ON operators (company_id, user_id) WHERE deleted_at_ms IS NULL;

-- Single-use codes for who has lost the second factor.
CREATE TABLE recovery_codes (
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    code_hash TEXT NOT NULL,
    used_at_ms BIGINT,
    PRIMARY KEY (operator_id, code_hash)
);

-- Passwords that may not come back.
CREATE TABLE password_history (
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    replaced_at_ms BIGINT NOT NULL,
    password_hash TEXT NOT NULL,
    PRIMARY KEY (operator_id, replaced_at_ms)
);

-- Logins of browsers. stage: code (the second factor is missing), enrol (it must be set up), change (the password must
-- be changed) or full.
CREATE TABLE site_logins (
    token_hash TEXT NOT NULL PRIMARY KEY,
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    stage TEXT NOT NULL,
    -- Wrong codes so far.
    code_failures BIGINT NOT NULL,
    -- A secret that is being set up, sealed.
    totp_sealed TEXT,
    source TEXT NOT NULL,
    agent TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    used_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);

CREATE INDEX site_logins_operator ON site_logins (operator_id);
CREATE INDEX site_logins_expiry ON site_logins (expires_at_ms);

-- What a change in the operation log was, apart from the chain, so that a company can be erased and the chain still
-- holds: the chain has the hash of `body` with its salt.
CREATE TABLE changes (
    change_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT REFERENCES companies (company_id),
    subject TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX changes_subject ON changes (subject, at_ms);

CREATE INDEX audit_event ON audit (company_id, event, seq);
CREATE INDEX audit_actor ON audit (company_id, actor, seq);

-- Browsers that logged in with the password before. Their failures are counted apart, so that a stranger who knows an
-- id cannot lock its owner out.
CREATE TABLE known_devices (
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    device_hash TEXT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    PRIMARY KEY (operator_id, device_hash)
);

CREATE INDEX known_devices_seen ON known_devices (seen_at_ms);
