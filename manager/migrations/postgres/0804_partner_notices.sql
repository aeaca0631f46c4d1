-- A notice that a partner writes has no company, is not for all, and is seen by companies of that partner only: by all of
-- them (`for_partner`), or by those in notice_companies.
ALTER TABLE notices ADD COLUMN partner_id TEXT REFERENCES partners (partner_id);
ALTER TABLE notices ADD COLUMN for_partner BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE notices ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

CREATE INDEX notices_partner ON notices (partner_id, begins_at_ms) WHERE partner_id IS NOT NULL;
