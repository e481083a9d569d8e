-- Machines that get nothing new, by name, whether they are here or not.
CREATE TABLE drained_machines (
    name TEXT PRIMARY KEY,
    since BIGINT NOT NULL,
    by_whom TEXT NOT NULL
);
-- How many commits before its newest were looked for on a branch, so that more of them are when the configuration asks for more.
ALTER TABLE branches ADD COLUMN history BIGINT NOT NULL DEFAULT 0;
