-- Orders and filters of the support log that a million sessions would not be sorted or counted for in time.
CREATE INDEX sessions_by_end ON sessions (company_id, COALESCE(ended_at_ms, 0), session_id);
CREATE INDEX sessions_by_duration ON sessions (company_id, COALESCE(duration_ms, 0), session_id);
CREATE INDEX sessions_by_operator ON sessions (company_id, operator_name, session_id);
CREATE INDEX sessions_end_reason ON sessions (company_id, end_reason, entered_at_ms);
CREATE INDEX sessions_category ON sessions (company_id, category_id, entered_at_ms);
CREATE INDEX sessions_result ON sessions (company_id, result, entered_at_ms);
CREATE INDEX receptions_state ON receptions (company_id, state, issued_at_ms);

-- Where in the chain a period lies.
CREATE INDEX audit_at ON audit (company_id, at_ms, seq);
