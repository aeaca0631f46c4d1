-- Notices. Without a company they are the service's, for all companies. kind: maintenance, incident, release or other.
-- A notice is in force from `begins_at_ms` to `ends_at_ms`; on every page it stands until it is read, and from
-- `stays_from_ms` on until it is over.
CREATE TABLE notices (
    notice_id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT REFERENCES companies (company_id),
    -- A notice of the service for every company; otherwise for those in notice_companies.
    for_all BOOLEAN NOT NULL,
    kind TEXT NOT NULL,
    important BOOLEAN NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    begins_at_ms BIGINT NOT NULL,
    ends_at_ms BIGINT NOT NULL,
    stays_from_ms BIGINT NOT NULL,
    author TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE INDEX notices_running ON notices (ends_at_ms);

CREATE TABLE notice_reads (
    notice_id TEXT NOT NULL REFERENCES notices (notice_id),
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    read_at_ms BIGINT NOT NULL,
    PRIMARY KEY (notice_id, operator_id)
);

CREATE INDEX notice_reads_operator ON notice_reads (operator_id);

-- Which companies a notice of the service is for that is not for all.
CREATE TABLE notice_companies (
    notice_id TEXT NOT NULL REFERENCES notices (notice_id),
    company_id TEXT NOT NULL REFERENCES companies (company_id),
    PRIMARY KEY (notice_id, company_id)
);

-- Planned stops. `services` is a list of manager, relay and download between spaces.
CREATE TABLE maintenances (
    maintenance_id TEXT NOT NULL PRIMARY KEY,
    notice_id TEXT NOT NULL REFERENCES notices (notice_id),
    starts_at_ms BIGINT NOT NULL,
    ends_at_ms BIGINT NOT NULL,
    services TEXT NOT NULL,
    emergency BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    announced_at_ms BIGINT NOT NULL,
    cancelled_at_ms BIGINT
);

CREATE INDEX maintenances_ends ON maintenances (ends_at_ms);

-- Incidents. Customers must be told by `due_at_ms`.
CREATE TABLE incidents (
    incident_id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL,
    detected_at_ms BIGINT NOT NULL,
    declared_at_ms BIGINT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    notified_at_ms BIGINT,
    notice_id TEXT REFERENCES notices (notice_id),
    contained_at_ms BIGINT,
    closed_at_ms BIGINT,
    author TEXT NOT NULL
);

CREATE INDEX incidents_open ON incidents (due_at_ms) WHERE closed_at_ms IS NULL;
