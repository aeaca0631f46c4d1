-- Names of organisations are unique among those under the same one, and not in the whole company.
ALTER TABLE organisations DROP CONSTRAINT organisations_company_id_name_key;
CREATE UNIQUE INDEX organisations_siblings ON organisations (company_id, COALESCE(parent_id, ''), name);
-- Who belongs to an organisation.
CREATE INDEX operators_organisation ON operators (organisation_id);
