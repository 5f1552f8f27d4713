-- +goose Up
-- +goose StatementBegin

-- Every write that changed a user, in the transaction that changed it. Rows are only added; number, the row's place in the
-- change feed, is filled in once, after the row is committed.
CREATE TABLE user_changes (
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
    number      INTEGER UNIQUE,
    PRIMARY KEY (user_id, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_changes_pending ON user_changes (version, user_id) WHERE number IS NULL;
CREATE INDEX user_changes_customer_id ON user_changes (customer_id, number);

CREATE TRIGGER user_changes_append_only BEFORE UPDATE ON user_changes
WHEN OLD.number IS NOT NULL OR NEW.number IS NULL
    OR OLD.user_id <> NEW.user_id OR OLD.version <> NEW.version OR OLD.customer_id <> NEW.customer_id OR OLD.at <> NEW.at
    OR OLD.actor IS NOT NEW.actor OR OLD.subject <> NEW.subject OR OLD.dialect <> NEW.dialect
    OR OLD.operation <> NEW.operation OR OLD.request_id <> NEW.request_id OR OLD.fields <> NEW.fields
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER user_changes_not_replaced BEFORE INSERT ON user_changes
WHEN EXISTS (SELECT 1 FROM user_changes WHERE user_id = NEW.user_id AND version = NEW.version)
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER user_changes_stays BEFORE DELETE ON user_changes
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;

-- Who of a customer may be its last administrator: roles 1 and 2, ROLE_ADMIN and ROLE_COMPANY_ADMIN.
CREATE INDEX users_administrators ON users (customer_id) WHERE (roles & 6) <> 0;
-- +goose StatementEnd
