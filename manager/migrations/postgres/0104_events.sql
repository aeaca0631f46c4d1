-- The newest event of each operator. Appending locks the row, so numbers become visible in their order.
CREATE TABLE event_heads (
    operator_id TEXT NOT NULL PRIMARY KEY REFERENCES operators (operator_id),
    last_seq BIGINT NOT NULL
);

CREATE TABLE events (
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (operator_id, seq)
);

CREATE INDEX events_age ON events (at_ms);
