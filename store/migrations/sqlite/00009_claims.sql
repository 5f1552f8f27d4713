-- +goose Up
-- +goose StatementBegin

-- Who has a value that is unique over the platform. The rows of the users of one customer may be on another node than those of the
-- next, where no index of users can tell; the row of one value is always in one place.
--
-- A value is shared while users claim it who cannot all have it (see reserved_folds). Then the row stays when the user it names gives the
-- value up, and it may name none.
CREATE TABLE claims (
    kind        TEXT    NOT NULL CHECK (kind IN ('id', 'uuid', 'username', 'email')),
    value       TEXT    NOT NULL,
    customer_id INTEGER,
    user_id     INTEGER,
    shared      INTEGER NOT NULL DEFAULT FALSE CHECK (shared IN (0, 1)),
    PRIMARY KEY (kind, value),
    CHECK ((customer_id IS NULL) = (user_id IS NULL) AND (shared OR user_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO claims (kind, value, customer_id, user_id)
    SELECT 'id', CAST(id AS TEXT), customer_id, id FROM users UNION ALL
    SELECT 'uuid', uuid, customer_id, id FROM users UNION ALL
    SELECT 'username', username_fold, customer_id, id FROM users UNION ALL
    SELECT 'email', email_fold, customer_id, id FROM users;
INSERT INTO claims (kind, value, shared) SELECT DISTINCT field, fold, TRUE FROM reserved_folds WHERE TRUE
    ON CONFLICT (kind, value) DO UPDATE SET shared = TRUE;
CREATE INDEX claims_shared ON claims (kind, value) WHERE shared;

-- What the triggers did is done by the claims, and by the program.
DROP TRIGGER users_reserved_folds_insert;
DROP TRIGGER users_reserved_folds_update;

CREATE TABLE reserved_folds_anew (
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    user_id     INTEGER NOT NULL REFERENCES users (id),
    field       TEXT    NOT NULL CHECK (field IN ('username', 'email')),
    fold        TEXT    NOT NULL,
    PRIMARY KEY (customer_id, user_id, field, fold)
) STRICT, WITHOUT ROWID;
INSERT INTO reserved_folds_anew (customer_id, user_id, field, fold)
    SELECT users.customer_id, user_id, field, fold FROM reserved_folds JOIN users ON users.id = user_id;
DROP TABLE reserved_folds;
ALTER TABLE reserved_folds_anew RENAME TO reserved_folds;
CREATE INDEX reserved_folds_fold ON reserved_folds (field, fold);
-- +goose StatementEnd
