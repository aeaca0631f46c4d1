-- Where the relay is at which both tools of a session met first, and where others are at which they met, too (the spare
-- ones included), in order with a space between; as the relays were placed then: jp, eu, us, or none when nobody had said.
-- Empty until a relay tells that they met.
ALTER TABLE sessions ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN other_regions TEXT NOT NULL DEFAULT '';
CREATE INDEX sessions_region ON sessions (company_id, region, entered_at_ms);
