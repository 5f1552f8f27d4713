-- +goose Up
-- +goose StatementBegin

-- By which rules the folded columns of all rows were computed last: '' before the first time. The program computes them, once this
-- migration is applied, as SQL knows neither Unicode's case folding nor IDNA.
CREATE TABLE folding (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    rules TEXT NOT NULL
);
INSERT INTO folding (id, rules) VALUES (1, '');

-- What is searched in beside email_fold, where that has a domain as IDNA encodes it.
ALTER TABLE users ADD COLUMN email_search TEXT COLLATE "C";

-- Folds that users would have by the present rules, if another user had not the same. They keep the stored fold of older rules, and
-- nobody else takes either.
CREATE TABLE reserved_folds (
    field   TEXT   NOT NULL CHECK (field IN ('username', 'email')),
    fold    TEXT   COLLATE "C" NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    PRIMARY KEY (field, fold, user_id)
);
CREATE INDEX reserved_folds_user_id ON reserved_folds (user_id);

-- A reserved fold is refused like a taken one, as a duplicate.
CREATE FUNCTION users_reserved_folds_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (TG_OP = 'INSERT' OR OLD.username_fold <> NEW.username_fold) AND EXISTS (
            SELECT 1 FROM reserved_folds WHERE user_id <> NEW.id AND field = 'username' AND fold = NEW.username_fold)
        OR (TG_OP = 'INSERT' OR OLD.email_fold <> NEW.email_fold) AND EXISTS (
            SELECT 1 FROM reserved_folds WHERE user_id <> NEW.id AND field = 'email' AND fold = NEW.email_fold) THEN
        RAISE unique_violation USING MESSAGE = 'the fold is reserved for another user';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_reserved_folds_insert BEFORE INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION users_reserved_folds_check();
CREATE TRIGGER users_reserved_folds_update BEFORE UPDATE OF username_fold, email_fold ON users
    FOR EACH ROW WHEN (OLD.username_fold <> NEW.username_fold OR OLD.email_fold <> NEW.email_fold)
    EXECUTE FUNCTION users_reserved_folds_check();

-- Who has another name now needs the old one's fold no more.
CREATE FUNCTION users_reserved_folds_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM reserved_folds WHERE user_id = NEW.id
        AND (field = 'username' AND (OLD.username <> NEW.username OR OLD.username_fold <> NEW.username_fold)
            OR field = 'email' AND (OLD.email <> NEW.email OR OLD.email_fold <> NEW.email_fold));
    RETURN NULL;
END $$;
CREATE TRIGGER users_reserved_folds_release AFTER UPDATE OF username, username_fold, email, email_fold ON users
    FOR EACH ROW WHEN (OLD.username <> NEW.username OR OLD.username_fold <> NEW.username_fold
        OR OLD.email <> NEW.email OR OLD.email_fold <> NEW.email_fold)
    EXECUTE FUNCTION users_reserved_folds_release();
-- +goose StatementEnd
