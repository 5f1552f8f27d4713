-- +goose Up
-- +goose StatementBegin

-- Every key, index and foreign key of a customer's data begins with the customer's id, so that the tables can be partitioned by it. What
-- is unique over the platform is in claims.

-- The feed gives each change a number. Its rows are only added, in one transaction for many changes. feed_number is for readers of all
-- customers' changes.
CREATE TABLE feed (
    customer_id INTEGER NOT NULL,
    number      INTEGER NOT NULL CHECK (number > 0),
    user_id     INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (customer_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO feed (customer_id, number, user_id, version)
    SELECT customer_id, number, user_id, version FROM user_changes WHERE number IS NOT NULL ORDER BY customer_id, number;
CREATE INDEX feed_number ON feed (number);

-- The changes that have no number yet. A row is added in the transaction of the change, and deleted in that of the number.
CREATE TABLE feed_pending (
    customer_id INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (customer_id, user_id, version)
) STRICT, WITHOUT ROWID;
INSERT INTO feed_pending (customer_id, user_id, version, at)
    SELECT customer_id, user_id, version, at FROM user_changes WHERE number IS NULL;

-- The highest number that was given, and the highest that readers may see.
CREATE TABLE feed_state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    assigned  INTEGER NOT NULL,
    published INTEGER NOT NULL CHECK (published <= assigned)
) STRICT;
INSERT INTO feed_state (id, assigned, published) SELECT 1, coalesce(max(number), 0), coalesce(max(number), 0) FROM feed;

-- Ids are generated in blocks: whoever needs some adds to next.
CREATE TABLE id_blocks (
    name TEXT    PRIMARY KEY CHECK (name IN ('customers', 'companies', 'users')),
    next INTEGER NOT NULL CHECK (next > 0)
) STRICT, WITHOUT ROWID;
INSERT INTO id_blocks (name, next)
    SELECT 'customers', 1 + max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'customers'), (SELECT coalesce(max(id), 0) FROM customers)) UNION ALL
    SELECT 'companies', 1 + max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'companies'), (SELECT coalesce(max(id), 0) FROM companies)) UNION ALL
    SELECT 'users', 1 + max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'users'), (SELECT coalesce(max(id), 0) FROM users));

CREATE TABLE users_anew (
    id                     INTEGER NOT NULL CHECK (id BETWEEN 1 AND 9007199254740991),
    uuid                   TEXT    NOT NULL,
    customer_id            INTEGER NOT NULL REFERENCES customers (id),
    first_name             TEXT    NOT NULL,
    first_name_fold        TEXT    NOT NULL,
    last_name              TEXT    NOT NULL,
    last_name_fold         TEXT    NOT NULL,
    username               TEXT    NOT NULL,
    username_fold          TEXT    NOT NULL,
    email                  TEXT    NOT NULL,
    email_fold             TEXT    NOT NULL,
    mobile                 TEXT    CHECK (mobile <> ''),
    roles                  INTEGER NOT NULL CHECK (roles >= 0),
    status                 TEXT    NOT NULL CHECK (status IN ('INVITED', 'ACTIVE', 'INACTIVE')),
    account_non_expired    INTEGER NOT NULL CHECK (account_non_expired IN (0, 1)),
    account_non_locked     INTEGER NOT NULL CHECK (account_non_locked IN (0, 1)),
    credential_non_expired INTEGER NOT NULL CHECK (credential_non_expired IN (0, 1)),
    password_hash          TEXT,
    last_password_reset_at INTEGER,
    access_token_sealed    TEXT    NOT NULL,
    vcs_password_sealed    TEXT,
    email_verified         INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    first_login            INTEGER NOT NULL CHECK (first_login IN (0, 1)),
    external_auth_id       TEXT,
    created_at             INTEGER NOT NULL,
    created_by             TEXT,
    updated_at             INTEGER NOT NULL,
    updated_by             TEXT,
    version                INTEGER NOT NULL CHECK (version > 0),
    email_search           TEXT,
    PRIMARY KEY (customer_id, id),
    UNIQUE (customer_id, uuid)
) STRICT;
INSERT INTO users_anew (
    id, uuid, customer_id, first_name, first_name_fold, last_name, last_name_fold, username, username_fold,
    email, email_fold, mobile, roles, status, account_non_expired, account_non_locked,
    credential_non_expired, password_hash, last_password_reset_at, access_token_sealed, vcs_password_sealed,
    email_verified, first_login, external_auth_id, created_at, created_by, updated_at, updated_by, version,
    email_search)
SELECT
    id, uuid, customer_id, first_name, first_name_fold, last_name, last_name_fold, username, username_fold,
    email, email_fold, mobile, roles, status, account_non_expired, account_non_locked,
    credential_non_expired, password_hash, last_password_reset_at, access_token_sealed, vcs_password_sealed,
    email_verified, first_login, external_auth_id, created_at, created_by, updated_at, updated_by, version,
    email_search
FROM users ORDER BY customer_id, id;

CREATE TABLE user_changes_anew (
    user_id     INTEGER NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    customer_id INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    actor       TEXT,
    subject     TEXT    NOT NULL,
    dialect     TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    fields      TEXT    NOT NULL,
    PRIMARY KEY (customer_id, user_id, version),
    FOREIGN KEY (customer_id, user_id) REFERENCES users_anew (customer_id, id)
) STRICT;
INSERT INTO user_changes_anew (user_id, version, customer_id, at, actor, subject, dialect, operation, request_id, fields)
SELECT user_id, version, customer_id, at, actor, subject, dialect, operation, request_id, fields FROM user_changes ORDER BY rowid;

CREATE TABLE reserved_folds_anew (
    customer_id INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    field       TEXT    NOT NULL CHECK (field IN ('username', 'email')),
    fold        TEXT    NOT NULL,
    PRIMARY KEY (customer_id, user_id, field, fold),
    FOREIGN KEY (customer_id, user_id) REFERENCES users_anew (customer_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO reserved_folds_anew (customer_id, user_id, field, fold) SELECT customer_id, user_id, field, fold FROM reserved_folds;

-- What refers to users goes first.
DROP TABLE reserved_folds;
DROP TABLE user_changes;
DROP TABLE users;
ALTER TABLE users_anew RENAME TO users;
ALTER TABLE user_changes_anew RENAME TO user_changes;
ALTER TABLE reserved_folds_anew RENAME TO reserved_folds;
CREATE INDEX reserved_folds_fold ON reserved_folds (field, fold);
-- Who of a customer may be its last administrator: roles 1 and 2, ROLE_ADMIN and ROLE_COMPANY_ADMIN.
CREATE INDEX users_administrators ON users (customer_id) WHERE (roles & 6) <> 0;

-- The triggers of migration 00008, which went with the old table.
CREATE TRIGGER users_search_insert AFTER INSERT ON users
BEGIN
    INSERT INTO search_pending (customer_id, user_id, version, parts) VALUES (NEW.customer_id, NEW.id, NEW.version, 3)
        ON CONFLICT (customer_id, user_id, version) DO UPDATE SET parts = 3;
END;
CREATE TRIGGER users_search_update AFTER UPDATE OF first_name_fold, last_name_fold, email_fold, email_search ON users
WHEN OLD.first_name_fold <> NEW.first_name_fold OR OLD.last_name_fold <> NEW.last_name_fold
    OR OLD.email_fold <> NEW.email_fold OR OLD.email_search IS NOT NEW.email_search
BEGIN
    INSERT INTO search_pending (customer_id, user_id, version, parts) VALUES (NEW.customer_id, NEW.id, NEW.version,
            (OLD.first_name_fold <> NEW.first_name_fold OR OLD.last_name_fold <> NEW.last_name_fold)
            + 2 * (OLD.email_fold <> NEW.email_fold OR OLD.email_search IS NOT NEW.email_search))
        ON CONFLICT (customer_id, user_id, version) DO UPDATE SET parts = search_pending.parts | excluded.parts;
END;

CREATE TRIGGER user_changes_append_only BEFORE UPDATE ON user_changes
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER user_changes_not_replaced BEFORE INSERT ON user_changes
WHEN EXISTS (SELECT 1 FROM user_changes WHERE customer_id = NEW.customer_id AND user_id = NEW.user_id AND version = NEW.version)
    OR NEW.rowid <> -1 AND EXISTS (SELECT 1 FROM user_changes WHERE rowid = NEW.rowid) -- it is -1 where none was asked for
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER user_changes_stays BEFORE DELETE ON user_changes
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
CREATE TRIGGER feed_append_only BEFORE UPDATE ON feed
BEGIN
    SELECT RAISE(ABORT, 'feed is append-only');
END;
CREATE TRIGGER feed_stays BEFORE DELETE ON feed
BEGIN
    SELECT RAISE(ABORT, 'feed is append-only');
END;

-- A count is the sum of several rows, so that those who add users to one customer at the same time need not wait for each other.
CREATE TABLE user_counts_anew (
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    slot        INTEGER NOT NULL,
    users       INTEGER NOT NULL CHECK (users >= 0),
    PRIMARY KEY (customer_id, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO user_counts_anew (customer_id, slot, users) SELECT customer_id, 0, users FROM user_counts;
DROP TABLE user_counts;
ALTER TABLE user_counts_anew RENAME TO user_counts;
CREATE TABLE user_blocks_anew (
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    block       INTEGER NOT NULL, -- id >> 12
    slot        INTEGER NOT NULL,
    users       INTEGER NOT NULL CHECK (users > 0),
    PRIMARY KEY (customer_id, block, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO user_blocks_anew (customer_id, block, slot, users) SELECT customer_id, block, 0, users FROM user_blocks;
DROP TABLE user_blocks;
ALTER TABLE user_blocks_anew RENAME TO user_blocks;
-- +goose StatementEnd
