-- Why a call was not taken, as one of the words of webhook/cause.rs; empty for what was settled before there were any.
-- `answer` is what came back, as it came.
ALTER TABLE webhook_calls ADD COLUMN cause TEXT NOT NULL DEFAULT '';
