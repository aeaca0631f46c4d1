-- The outbox of mail. state: queued, sent, failed (refused for good, or given up) or expired (what it says is over).
-- `body_sealed` is sealed, because it may hold a link that logs in; it is empty once the mail is out.
CREATE TABLE mails (
    mail_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT REFERENCES companies (company_id),
    -- The account it goes to, when it goes to one.
    operator_id TEXT REFERENCES operators (operator_id),
    kind TEXT NOT NULL,
    -- What it tells of (`maintenance:…`); empty for nothing that has a page.
    about TEXT NOT NULL,
    address TEXT NOT NULL,
    subject TEXT NOT NULL,
    body_sealed TEXT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    sent_at_ms BIGINT,
    -- What the server said last.
    answer TEXT NOT NULL,
    -- The manager that is sending it, and until when nobody else does.
    claim TEXT NOT NULL,
    claimed_until_ms BIGINT NOT NULL
);

CREATE INDEX mails_due ON mails (due_at_ms) WHERE state = 'queued';
CREATE INDEX mails_listed ON mails (company_id, created_at_ms);
CREATE INDEX mails_operator ON mails (operator_id);
CREATE INDEX mails_about ON mails (about);

-- The language of an account's last visit; the first one of its mails.
ALTER TABLE operators ADD COLUMN lang TEXT NOT NULL DEFAULT '';
