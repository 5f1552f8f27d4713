-- +goose Up
-- +goose StatementBegin

-- An index for searches for a part of a name or an e-mail. Every user has a row for each part: 1, the first and the last name, at
-- rowid 2 * id, and 2, the e-mail, at rowid 2 * id + 1. grams are the hashes of the customer's id with each run of three characters of
-- the part, as words; the program computes them. The table stores no text beside its index.
CREATE VIRTUAL TABLE user_search USING fts5 (grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');

-- Users whose rows in user_search are to be computed again. Searches look at these users themselves. parts is a set of bits.
CREATE TABLE search_pending (
    customer_id INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    parts       INTEGER NOT NULL CHECK (parts BETWEEN 1 AND 3),
    PRIMARY KEY (customer_id, user_id, version)
) STRICT, WITHOUT ROWID;
INSERT INTO search_pending (customer_id, user_id, version, parts) SELECT customer_id, id, version, 3 FROM users;

-- Triggers, so that users written by a program of an older version are found as well.
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
-- +goose StatementEnd
