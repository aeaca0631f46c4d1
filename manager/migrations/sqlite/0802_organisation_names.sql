-- Names of organisations are unique among those under the same one, and not in the whole company. A constraint of a table
-- goes with the table only; until the transaction ends nothing asks what the accounts refer to.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE organisations_kept AS SELECT * FROM organisations;
DROP TABLE organisations;
CREATE TABLE organisations (
    organisation_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    parent_id TEXT REFERENCES organisations (organisation_id),
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL
);
INSERT INTO organisations (organisation_id, company_id, parent_id, path, name, note, created_at_ms, version)
SELECT organisation_id, company_id, parent_id, path, name, note, created_at_ms, version FROM organisations_kept;
DROP TABLE organisations_kept;
CREATE INDEX organisations_path ON organisations (company_id, path);
CREATE UNIQUE INDEX organisations_siblings ON organisations (company_id, COALESCE(parent_id, ''), name);
-- Who belongs to an organisation.
CREATE INDEX operators_organisation ON operators (organisation_id);
