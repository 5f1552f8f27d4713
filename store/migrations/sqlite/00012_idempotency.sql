-- +goose Up
-- +goose StatementBegin

-- The answers to writes that were made under an Idempotency-Key, each written in the transaction of its write. hash is that of the
-- caller, the operation and the key. Rows are deleted when they are older than the configured retention, of all customers at a time:
-- idempotency_records_at is for that.
CREATE TABLE idempotency_records (
    customer_id INTEGER NOT NULL,
    hash        TEXT    NOT NULL,
    user_id     INTEGER NOT NULL, -- who was written; 0: nobody
    at          INTEGER NOT NULL,
    sealed      TEXT    NOT NULL,
    PRIMARY KEY (customer_id, hash)
) STRICT;
CREATE INDEX idempotency_records_at ON idempotency_records (at);
-- +goose StatementEnd
