-- The first schema. Each row that mirrors a value of core keeps it whole, as JSON, in `record`; the other columns are what
-- is searched by. Never edit a migration that was released: add the next number.

CREATE TABLE stacks (
  name   TEXT PRIMARY KEY,
  wanted TEXT NOT NULL CHECK (wanted IN ('up', 'down')),  -- the command line reads these two by plain SQL
  record TEXT NOT NULL
) STRICT;

CREATE TABLE releases (
  stack   TEXT NOT NULL,
  service TEXT NOT NULL,
  number  INTEGER NOT NULL,
  record  TEXT NOT NULL,
  PRIMARY KEY (stack, service, number)
) STRICT;

-- The highest number ever given, so that none is given twice: not after a release or an instance was removed, nor after
-- its stack was.
CREATE TABLE counters (
  stack   TEXT NOT NULL,
  service TEXT NOT NULL,
  kind    TEXT NOT NULL CHECK (kind IN ('release', 'instance')),
  highest INTEGER NOT NULL,
  PRIMARY KEY (stack, service, kind)
) STRICT;

CREATE TABLE instances (
  stack         TEXT NOT NULL,
  id            TEXT NOT NULL,
  service       TEXT NOT NULL,
  number        INTEGER NOT NULL,
  release       INTEGER NOT NULL,
  boot          TEXT NOT NULL,
  ended         INTEGER NOT NULL,  -- 1: history, pruned in time
  passed        INTEGER NOT NULL,  -- 1: it passed a check once
  failed_start  INTEGER NOT NULL,  -- 1: it ended, or was given up, before its first passed check
  record        TEXT NOT NULL,
  PRIMARY KEY (stack, id)
) STRICT;

CREATE INDEX instances_live ON instances (stack, service, number) WHERE ended = 0;
CREATE INDEX instances_by_number ON instances (stack, service, number);

CREATE TABLE events (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at       TEXT NOT NULL,
  stack    TEXT NOT NULL,
  service  TEXT NOT NULL,
  instance TEXT NOT NULL,
  kind     TEXT NOT NULL,
  text     TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_stack ON events (stack, id);

CREATE TABLE decisions (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at       TEXT NOT NULL,
  stack    TEXT NOT NULL,
  snapshot TEXT NOT NULL,
  plan     TEXT NOT NULL
) STRICT;

CREATE INDEX decisions_by_stack ON decisions (stack, id);
