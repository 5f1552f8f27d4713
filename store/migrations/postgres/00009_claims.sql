-- +goose Up
-- +goose StatementBegin

-- Who has a value that is unique over the platform. The rows of the users of one customer may be on another node than those of the
-- next, where no index of users can tell; the row of one value is always in one place.
--
-- A value is shared while users claim it who cannot all have it (see reserved_folds). Then the row stays when the user it names gives the
-- value up, and it may name none.
CREATE TABLE claims (
    kind        TEXT    COLLATE "C" NOT NULL CHECK (kind IN ('id', 'uuid', 'username', 'email')),
    value       TEXT    COLLATE "C" NOT NULL,
    customer_id BIGINT,
    user_id     BIGINT,
    shared      BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (kind, value),
    CHECK ((customer_id IS NULL) = (user_id IS NULL) AND (shared OR user_id IS NOT NULL))
);
INSERT INTO claims (kind, value, customer_id, user_id)
    SELECT 'id', id::text, customer_id, id FROM users UNION ALL
    SELECT 'uuid', uuid::text, customer_id, id FROM users UNION ALL
    SELECT 'username', username_fold, customer_id, id FROM users UNION ALL
    SELECT 'email', email_fold, customer_id, id FROM users;
INSERT INTO claims (kind, value, shared) SELECT DISTINCT field, fold, TRUE FROM reserved_folds
    ON CONFLICT (kind, value) DO UPDATE SET shared = TRUE;
CREATE INDEX claims_shared ON claims (kind, value) WHERE shared;

-- What the triggers did is done by the claims, and by the program.
DROP TRIGGER users_reserved_folds_insert ON users;
DROP TRIGGER users_reserved_folds_update ON users;
DROP TRIGGER users_reserved_folds_release ON users;
DROP FUNCTION users_reserved_folds_check();
DROP FUNCTION users_reserved_folds_release();

ALTER TABLE reserved_folds ADD COLUMN customer_id BIGINT REFERENCES customers (id);
UPDATE reserved_folds SET customer_id = users.customer_id FROM users WHERE users.id = reserved_folds.user_id;
ALTER TABLE reserved_folds ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE reserved_folds DROP CONSTRAINT reserved_folds_pkey;
ALTER TABLE reserved_folds ADD PRIMARY KEY (customer_id, user_id, field, fold);
DROP INDEX reserved_folds_user_id;
CREATE INDEX reserved_folds_fold ON reserved_folds (field, fold);
-- +goose StatementEnd
