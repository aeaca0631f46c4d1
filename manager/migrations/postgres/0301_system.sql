-- realm: company, or system. Those who administer this service are the accounts of one row whose code is no company code,
-- so that nobody logs in to it where companies do.
ALTER TABLE companies ADD COLUMN realm TEXT NOT NULL DEFAULT 'company';

INSERT INTO companies
    (company_id, code, name, lockout_failures_max, lockout_ms, lockout_window_ms, password_len_max, created_at_ms, realm)
VALUES ('00000000000000000000000000000000', ':system', ':system', 5, 900000, 900000, 128, 0, 'system');

-- Administrators are accounts now. The table stays for a version that still runs beside this one, without a row.
INSERT INTO operators
    (operator_id, company_id, user_id, name, search, role, password_hash, password_changed_at_ms, stopped, created_at_ms)
SELECT admin_id, '00000000000000000000000000000000', user_id, name, LOWER(user_id || name), 'operations', password_hash,
    created_at_ms, FALSE, created_at_ms
FROM administrators;

DELETE FROM administrators;

-- The log of the whole system: what its administrators and the command line did, and their logins. A statement that
-- uses it repeats the condition to the letter.
CREATE INDEX audit_system ON audit (seq)
WHERE (company_id IS NULL OR company_id = '00000000000000000000000000000000' OR actor = 'command_line' OR SUBSTR(actor, 1, 6) = 'admin:');
