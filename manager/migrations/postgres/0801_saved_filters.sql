-- What an account asks a list for again and again: the address of the list without its place, under a name.
CREATE TABLE saved_filters (
    filter_id TEXT NOT NULL PRIMARY KEY,
    operator_id TEXT NOT NULL REFERENCES operators (operator_id),
    list TEXT NOT NULL,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE (operator_id, list, name)
);
