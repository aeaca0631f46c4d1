-- Why a relay lost a session that may go on at another one; NULL since somebody was heard of it again.
ALTER TABLE sessions ADD COLUMN lost_reason TEXT;
