-- Machines that get nothing new, by name, whether they are here or not.
CREATE TABLE drained_machines (
    name TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    by_whom TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- How many commits before its newest were looked for on a branch, so that more of them are when the configuration asks for more.
ALTER TABLE branches ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
