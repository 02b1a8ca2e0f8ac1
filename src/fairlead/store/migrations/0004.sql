-- Resources (caches, databases, buckets) that fairlead runs, and the vault. Both outlive their stack, as data do.

CREATE TABLE resources (
  stack  TEXT NOT NULL,
  id     TEXT NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (stack, id)
) STRICT;

-- The row with the highest number is the present value; those before it are kept while a release has need of them. One
-- that was removed keeps its last row, without a value: a number is not given again.
CREATE TABLE secrets (
  stack      TEXT NOT NULL,
  name       TEXT NOT NULL,
  number     INTEGER NOT NULL,
  origin     TEXT NOT NULL CHECK (origin IN ('set', 'environment', 'generated')),
  changed_at TEXT NOT NULL,  -- ISO 8601 UTC
  sealed     TEXT,           -- encrypted by the home's secret.key, bound to stack, name and number; NULL: removed
  PRIMARY KEY (stack, name, number)
) STRICT;
