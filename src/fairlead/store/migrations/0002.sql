-- Runs (jobs, before_traffic), the schedule of jobs, and alarms.

CREATE TABLE runs (
  stack   TEXT NOT NULL,
  id      TEXT NOT NULL,
  name    TEXT NOT NULL,
  kind    TEXT NOT NULL CHECK (kind IN ('job', 'before_traffic')),
  release INTEGER NOT NULL,
  number  INTEGER NOT NULL,
  ended   INTEGER NOT NULL,  -- 1: history, pruned in time
  record  TEXT NOT NULL,
  PRIMARY KEY (stack, id)
) STRICT;

CREATE INDEX runs_live ON runs (stack) WHERE ended = 0;
CREATE INDEX runs_by_number ON runs (stack, kind, name, number);

-- For each job the last time of its schedule that was dealt with, started or not. Another schedule begins anew.
CREATE TABLE schedules (
  stack    TEXT NOT NULL,
  job      TEXT NOT NULL,
  schedule TEXT NOT NULL,  -- its cron line and time zone
  handled  TEXT NOT NULL,  -- ISO 8601 UTC
  PRIMARY KEY (stack, job)
) STRICT;

-- What each alarm last told, so that it is told once; and what is still to be delivered, which outlives its stack.
CREATE TABLE alarms (
  stack  TEXT NOT NULL,
  alarm  TEXT NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (stack, alarm)
) STRICT;

CREATE TABLE deliveries (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  stack  TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;

-- The highest number ever given to a run, as for instances and releases.
CREATE TABLE counters_2 (
  stack   TEXT NOT NULL,
  service TEXT NOT NULL,
  kind    TEXT NOT NULL CHECK (kind IN ('release', 'instance', 'job', 'before_traffic')),
  highest INTEGER NOT NULL,
  PRIMARY KEY (stack, service, kind)
) STRICT;
INSERT INTO counters_2 SELECT stack, service, kind, highest FROM counters;
DROP TABLE counters;
ALTER TABLE counters_2 RENAME TO counters;

-- What the home knows of itself: `home`, the path it lies at, which releases and environments hold.
CREATE TABLE facts (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
