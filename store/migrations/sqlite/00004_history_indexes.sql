-- +goose Up
-- +goose StatementBegin

-- A write adds one row to the history, and changed five B-trees for it, each in a place of its own: the table by its key, and four
-- indexes, three of which held rows that have no number yet. Now the row is added at the end of the table, and beside it only
-- the key's index and the end of the one of those rows are changed. What has a number is in the others.
CREATE TABLE user_changes_anew (
    user_id     INTEGER NOT NULL REFERENCES users (id),
    version     INTEGER NOT NULL CHECK (version > 0),
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    at          INTEGER NOT NULL,
    actor       TEXT,
    subject     TEXT    NOT NULL,
    dialect     TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    fields      TEXT    NOT NULL,
    number      INTEGER,
    PRIMARY KEY (user_id, version)
) STRICT;
-- Rows are numbered in the order of their rowids, which has to agree with each user's versions.
INSERT INTO user_changes_anew (user_id, version, customer_id, at, actor, subject, dialect, operation, request_id, fields, number)
SELECT user_id, version, customer_id, at, actor, subject, dialect, operation, request_id, fields, number FROM user_changes
ORDER BY number NULLS LAST, version, user_id;
DROP TABLE user_changes;
ALTER TABLE user_changes_anew RENAME TO user_changes;

CREATE UNIQUE INDEX user_changes_number ON user_changes (number) WHERE number IS NOT NULL;
CREATE INDEX user_changes_customer_id ON user_changes (customer_id, number) WHERE number IS NOT NULL;
-- By rowid, as that is what tells apart entries with the same value.
CREATE INDEX user_changes_pending ON user_changes (number) WHERE number IS NULL;

CREATE TRIGGER user_changes_append_only BEFORE UPDATE ON user_changes
WHEN OLD.number IS NOT NULL OR NEW.number IS NULL
    OR OLD.user_id <> NEW.user_id OR OLD.version <> NEW.version OR OLD.customer_id <> NEW.customer_id OR OLD.at <> NEW.at
    OR OLD.actor IS NOT NEW.actor OR OLD.subject <> NEW.subject OR OLD.dialect <> NEW.dialect
    OR OLD.operation <> NEW.operation OR OLD.request_id <> NEW.request_id OR OLD.fields <> NEW.fields
    OR OLD.rowid <> NEW.rowid
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER user_changes_not_replaced BEFORE INSERT ON user_changes
WHEN EXISTS (SELECT 1 FROM user_changes WHERE user_id = NEW.user_id AND version = NEW.version)
    OR NEW.rowid <> -1 AND EXISTS (SELECT 1 FROM user_changes WHERE rowid = NEW.rowid) -- it is -1 where none was asked for
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER user_changes_stays BEFORE DELETE ON user_changes
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
-- +goose StatementEnd
