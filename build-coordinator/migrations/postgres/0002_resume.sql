-- With what an attempt comes back to its commands; a secret. NULL: they end with their connection.
ALTER TABLE attempts ADD COLUMN resume TEXT;
-- Until when its machine is waited for, while it is.
ALTER TABLE attempts ADD COLUMN awaited BIGINT;
