-- Times are microseconds since 1970. Kinds, states and causes are the names that the API has.

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- numbers are never used twice
    repository TEXT NOT NULL,
    revision TEXT NOT NULL,
    builder TEXT NOT NULL,
    base TEXT NOT NULL, -- empty: there is none. NULL would not be unique.
    branch TEXT,
    host_type TEXT NOT NULL,
    purpose TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    not_before INTEGER,
    cause TEXT,
    attempts INTEGER NOT NULL,
    created INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    cancel_cause TEXT,
    cancel_by TEXT,
    cancel_at INTEGER,
    message TEXT NOT NULL,
    UNIQUE (repository, revision, builder, base)
) STRICT;

CREATE INDEX builds_unfinished ON builds (id) WHERE state <> 'done';
CREATE INDEX builds_ended ON builds (ended, id) WHERE state = 'done';
CREATE INDEX builds_by_builder ON builds (builder, id);
CREATE INDEX builds_by_revision ON builds (revision);

CREATE TABLE attempts (
    build INTEGER NOT NULL REFERENCES builds (id),
    number INTEGER NOT NULL,
    machine TEXT NOT NULL,
    owner TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    cause TEXT,
    message TEXT NOT NULL,
    log_blob TEXT,
    log_bytes INTEGER NOT NULL,
    log_dropped INTEGER NOT NULL,
    PRIMARY KEY (build, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_machine ON attempts (machine, started);

CREATE TABLE steps (
    build INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    started INTEGER NOT NULL,
    log_start INTEGER NOT NULL,
    outcome TEXT,
    ended INTEGER,
    log_end INTEGER,
    message TEXT NOT NULL,
    PRIMARY KEY (build, attempt, position),
    FOREIGN KEY (build, attempt) REFERENCES attempts (build, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    build INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    blob TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (build, attempt, position),
    FOREIGN KEY (build, attempt) REFERENCES attempts (build, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE spans (
    build INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (build, attempt, position),
    FOREIGN KEY (build, attempt) REFERENCES attempts (build, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    build INTEGER NOT NULL REFERENCES builds (id),
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_build ON events (build, seq);

CREATE TABLE commits (
    repository TEXT NOT NULL,
    revision TEXT NOT NULL,
    parents TEXT NOT NULL, -- separated by spaces
    author_name TEXT NOT NULL,
    author_email TEXT NOT NULL,
    committed INTEGER NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (repository, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE branches (
    repository TEXT NOT NULL,
    name TEXT NOT NULL,
    head TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (repository, name)
) STRICT, WITHOUT ROWID;

-- The commits of a branch; newer ones have greater positions. History that is filled in later goes below zero.
CREATE TABLE branch_commits (
    repository TEXT NOT NULL,
    branch TEXT NOT NULL,
    position INTEGER NOT NULL,
    revision TEXT NOT NULL,
    PRIMARY KEY (repository, branch, position),
    UNIQUE (repository, branch, revision),
    FOREIGN KEY (repository, revision) REFERENCES commits (repository, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE machines (
    name TEXT NOT NULL,
    host_type TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_change INTEGER NOT NULL,
    change TEXT NOT NULL,
    PRIMARY KEY (name, host_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE machine_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    host_type TEXT NOT NULL,
    at INTEGER NOT NULL,
    change TEXT NOT NULL
) STRICT;

CREATE INDEX machine_events_by_machine ON machine_events (name, host_type, seq);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL, -- SHA-256 of the secret part, which is 256 random bits
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL, -- when it is due, or when it ended
    last_result TEXT NOT NULL
) STRICT;

CREATE INDEX deliveries_due ON deliveries (at) WHERE state = 'waiting';
