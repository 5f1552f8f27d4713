-- +goose Up
-- +goose StatementBegin

-- A write adds one row to the history, and an entry to each of four indexes for it, two of which hold numbers that the row does not
-- have yet. Now those hold what has a number.
ALTER TABLE user_changes DROP CONSTRAINT user_changes_number_key;
CREATE UNIQUE INDEX user_changes_number ON user_changes (number) WHERE number IS NOT NULL;
DROP INDEX user_changes_customer_id;
CREATE INDEX user_changes_customer_id ON user_changes (customer_id, number) WHERE number IS NOT NULL;
-- +goose StatementEnd
