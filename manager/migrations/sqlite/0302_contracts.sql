-- Who brings companies, and sees those only.
CREATE TABLE partners (
    partner_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);

ALTER TABLE companies ADD COLUMN partner_id TEXT REFERENCES partners (partner_id);
-- Code and name, folded for the search.
ALTER TABLE companies ADD COLUMN search TEXT NOT NULL DEFAULT '';
ALTER TABLE companies ADD COLUMN note TEXT NOT NULL DEFAULT '';
-- When the contract was ended, for a company in that state.
ALTER TABLE companies ADD COLUMN ended_at_ms BIGINT;

UPDATE companies SET search = LOWER(code || name);

CREATE INDEX companies_listed ON companies (realm, code);

-- Of a system administrator who sees the companies of one partner only.
ALTER TABLE operators ADD COLUMN partner_id TEXT REFERENCES partners (partner_id);
-- When somebody else last held what opens the account: at its creation, with a new password or a reset.
ALTER TABLE operators ADD COLUMN handed_out_at_ms BIGINT NOT NULL DEFAULT 0;

-- Where a relay is: jp, eu or us; empty when nobody said so.
ALTER TABLE relays ADD COLUMN region TEXT NOT NULL DEFAULT '';
