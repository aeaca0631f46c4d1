-- The live boards, and the reception log in the order in which it is read.
CREATE INDEX receptions_open ON receptions (company_id, issued_at_ms) WHERE open_slot IS NOT NULL;
CREATE INDEX sessions_running ON sessions (company_id, entered_at_ms) WHERE ended_at_ms IS NULL;
CREATE INDEX receptions_company ON receptions (company_id, issued_at_ms);
