-- Version 1. Times are milliseconds since 1970; a row outlives `ends` only until somebody finds it.

-- One row: what versions and generations are taken from. It never goes back.
CREATE TABLE serial (number INTEGER NOT NULL);
INSERT INTO serial VALUES (0);

CREATE TABLE value (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    bytes BLOB NOT NULL,
    version INTEGER NOT NULL,
    since INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    UNIQUE (account, key)
);
CREATE INDEX value_ends ON value (ends);

CREATE TABLE lease (
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    holder BLOB NOT NULL,
    generation INTEGER NOT NULL,
    since INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    UNIQUE (account, name)
);
CREATE INDEX lease_ends ON lease (ends);

-- `alive_until` is 0 once the claim has been found lost; the row is kept for `keep` after the last sign of its holder.
CREATE TABLE claim (
    account TEXT NOT NULL,
    message TEXT NOT NULL,
    holder BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    since INTEGER NOT NULL,
    alive_until INTEGER NOT NULL,
    keep INTEGER NOT NULL,
    answer BLOB,
    ends INTEGER NOT NULL,
    UNIQUE (account, message)
);
CREATE INDEX claim_ends ON claim (ends);

-- A row for each count.
CREATE TABLE tally (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    ends INTEGER NOT NULL
);
CREATE INDEX tally_key ON tally (account, key, ends);
CREATE INDEX tally_ends ON tally (ends);
