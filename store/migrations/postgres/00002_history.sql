-- +goose Up
-- +goose StatementBegin

-- Every write that changed a user, in the transaction that changed it. Rows are only added; number, the row's place in the
-- change feed, is filled in once, after the row is committed.
CREATE TABLE user_changes (
    user_id     BIGINT NOT NULL REFERENCES users (id),
    version     BIGINT NOT NULL CHECK (version > 0),
    customer_id BIGINT NOT NULL REFERENCES customers (id),
    at          BIGINT NOT NULL,
    actor       UUID,
    subject     TEXT   NOT NULL,
    dialect     TEXT   NOT NULL,
    operation   TEXT   NOT NULL,
    request_id  TEXT   NOT NULL,
    fields      JSONB  NOT NULL,
    number      BIGINT UNIQUE,
    PRIMARY KEY (user_id, version)
);
CREATE INDEX user_changes_pending ON user_changes (version, user_id) WHERE number IS NULL;
CREATE INDEX user_changes_customer_id ON user_changes (customer_id, number);

CREATE FUNCTION user_changes_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.number IS NULL AND NEW.number IS NOT NULL
        AND to_jsonb(OLD) - 'number' = to_jsonb(NEW) - 'number' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'user_changes is append-only';
END $$;
CREATE TRIGGER user_changes_append_only BEFORE UPDATE OR DELETE ON user_changes
    FOR EACH ROW EXECUTE FUNCTION user_changes_append_only();
CREATE TRIGGER user_changes_stay BEFORE TRUNCATE ON user_changes
    FOR EACH STATEMENT EXECUTE FUNCTION user_changes_append_only();

-- Who of a customer may be its last administrator: roles 1 and 2, ROLE_ADMIN and ROLE_COMPANY_ADMIN.
CREATE INDEX users_administrators ON users (customer_id) WHERE (roles & 6) <> 0;
-- +goose StatementEnd
