-- With the hash, in the order of the list, so that SQLite takes it without statistics. A statement that uses it repeats
-- the condition to the letter.
DROP INDEX audit_system;

CREATE INDEX audit_system ON audit (seq, hash)
WHERE (company_id IS NULL OR company_id = '00000000000000000000000000000000' OR actor = 'command_line' OR SUBSTR(actor, 1, 6) = 'admin:');
