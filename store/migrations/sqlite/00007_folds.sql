-- +goose Up
-- +goose StatementBegin

-- By which rules the folded columns of all rows were computed last: '' before the first time. The program computes them, once this
-- migration is applied, as SQL knows neither Unicode's case folding nor IDNA.
CREATE TABLE folding (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    rules TEXT NOT NULL
) STRICT;
INSERT INTO folding (id, rules) VALUES (1, '');

-- What is searched in beside email_fold, where that has a domain as IDNA encodes it.
ALTER TABLE users ADD COLUMN email_search TEXT;

-- Folds that users would have by the present rules, if another user had not the same. They keep the stored fold of older rules, and
-- nobody else takes either.
CREATE TABLE reserved_folds (
    field   TEXT    NOT NULL CHECK (field IN ('username', 'email')),
    fold    TEXT    NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (field, fold, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX reserved_folds_user_id ON reserved_folds (user_id);

-- A reserved fold is refused like a taken one, as a duplicate: the row that is in the way is inserted a second time.
CREATE TRIGGER users_reserved_folds_insert AFTER INSERT ON users
BEGIN
    INSERT INTO reserved_folds (field, fold, user_id)
    SELECT field, fold, user_id FROM reserved_folds WHERE user_id <> NEW.id
        AND (field = 'username' AND fold = NEW.username_fold OR field = 'email' AND fold = NEW.email_fold);
END;
CREATE TRIGGER users_reserved_folds_update AFTER UPDATE OF username, username_fold, email, email_fold ON users
BEGIN
    INSERT INTO reserved_folds (field, fold, user_id)
    SELECT field, fold, user_id FROM reserved_folds WHERE user_id <> NEW.id
        AND (field = 'username' AND fold = NEW.username_fold AND OLD.username_fold <> NEW.username_fold
            OR field = 'email' AND fold = NEW.email_fold AND OLD.email_fold <> NEW.email_fold);
    -- Who has another name now needs the old one's fold no more.
    DELETE FROM reserved_folds WHERE user_id = NEW.id
        AND (field = 'username' AND (OLD.username <> NEW.username OR OLD.username_fold <> NEW.username_fold)
            OR field = 'email' AND (OLD.email <> NEW.email OR OLD.email_fold <> NEW.email_fold));
END;
-- +goose StatementEnd
