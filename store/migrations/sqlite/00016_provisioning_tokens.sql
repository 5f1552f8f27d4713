-- +goose Up
-- +goose StatementBegin

-- The credentials of provisioning clients. hash is the SHA-256 of the token in hexadecimal: the token itself is not stored. A token is found
-- by it, before its customer is known.
CREATE TABLE provisioning_tokens (
    hash         TEXT    NOT NULL PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    customer_id  INTEGER NOT NULL REFERENCES customers (id),
    role         TEXT    NOT NULL,
    note         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX provisioning_tokens_customer_id ON provisioning_tokens (customer_id, created_at);
-- +goose StatementEnd
