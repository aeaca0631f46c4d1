-- When the last halt was lifted: what waited for it has waited for nobody's fault until then.
ALTER TABLE service ADD COLUMN lifted_at_ms BIGINT;
