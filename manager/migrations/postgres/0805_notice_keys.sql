-- What a program named the writing of a notice by (`token:key`), so that the same request again writes none.
ALTER TABLE notices ADD COLUMN idempotency_key TEXT;

CREATE UNIQUE INDEX notices_key ON notices (idempotency_key) WHERE idempotency_key IS NOT NULL;
