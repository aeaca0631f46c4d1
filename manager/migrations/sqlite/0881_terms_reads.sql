-- Who has read a revision that was announced: it stands on their pages no more. Managers of before delete accounts with a
-- company and know nothing of these rows.
CREATE TABLE terms_reads (
    revision_id TEXT NOT NULL REFERENCES terms (revision_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id) ON DELETE CASCADE,
    read_at_ms BIGINT NOT NULL,
    PRIMARY KEY (revision_id, operator_id)
);

CREATE INDEX terms_reads_operator ON terms_reads (operator_id);
