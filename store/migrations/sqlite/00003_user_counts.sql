-- +goose Up
-- +goose StatementBegin

-- How many users a customer has, so that the first page of a long list need not count them. Users are never deleted and never
-- change their customer; whoever adds some adds to this in the same transaction, as its last statement.
CREATE TABLE user_counts (
    customer_id INTEGER PRIMARY KEY REFERENCES customers (id),
    users       INTEGER NOT NULL CHECK (users >= 0)
) STRICT;
INSERT INTO user_counts (customer_id, users) SELECT customer_id, count(*) FROM users GROUP BY customer_id;
-- +goose StatementEnd
