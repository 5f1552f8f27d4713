-- +goose Up
-- +goose StatementBegin

-- How many users a customer has among each 4096 ids, so that a page in the middle of a long list need not pass over all users before
-- it. Users are never deleted and never change their id or their customer; whoever adds some adds to this where user_counts is
-- added to. Of blocks without users there are no rows.
CREATE TABLE user_blocks (
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    block       INTEGER NOT NULL, -- id >> 12
    users       INTEGER NOT NULL CHECK (users > 0),
    PRIMARY KEY (customer_id, block)
) STRICT, WITHOUT ROWID;
INSERT INTO user_blocks (customer_id, block, users) SELECT customer_id, id >> 12, count(*) FROM users GROUP BY customer_id, id >> 12;
-- +goose StatementEnd
