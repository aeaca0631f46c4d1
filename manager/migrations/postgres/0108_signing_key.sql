-- Which key every manager of this database signs with: its name, never the key. One row, made by the first manager.
CREATE TABLE signing_key (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    key_id TEXT NOT NULL
);
