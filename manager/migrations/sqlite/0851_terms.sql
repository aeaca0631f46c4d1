-- Revisions of the terms of use. A draft has no `published_at_ms`; what is published is never changed or deleted, and
-- withdrawn before its day at most. `in_force_from_ms` is the beginning of a day in Japan. An English text may be empty.
-- The texts come last: what is asked of every page stands before them.
CREATE TABLE terms (
    revision_id TEXT NOT NULL PRIMARY KEY,
    edition TEXT NOT NULL UNIQUE,
    in_force_from_ms BIGINT NOT NULL,
    -- Whether every person is asked to agree anew.
    agree BOOLEAN NOT NULL,
    author TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    publisher TEXT,
    published_at_ms BIGINT,
    withdrawer TEXT,
    withdrawn_at_ms BIGINT,
    -- Of what was published, as the audit chain has it.
    text_sha256 TEXT,
    version BIGINT NOT NULL,
    changes_ja TEXT NOT NULL,
    changes_en TEXT NOT NULL,
    body_ja TEXT NOT NULL,
    body_en TEXT NOT NULL
);

CREATE UNIQUE INDEX terms_in_force ON terms (in_force_from_ms)
    WHERE published_at_ms IS NOT NULL AND withdrawn_at_ms IS NULL;

-- Every page of a company asks for these.
CREATE INDEX terms_asking ON terms (in_force_from_ms)
    WHERE agree = TRUE AND published_at_ms IS NOT NULL AND withdrawn_at_ms IS NULL;

CREATE TABLE terms_agreements (
    revision_id TEXT NOT NULL REFERENCES terms (revision_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    agreed_at_ms BIGINT NOT NULL,
    PRIMARY KEY (revision_id, operator_id)
);

CREATE INDEX terms_agreements_operator ON terms_agreements (operator_id);
