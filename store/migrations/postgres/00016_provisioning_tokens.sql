-- +goose Up
-- +goose StatementBegin

-- The credentials of provisioning clients. hash is the SHA-256 of the token in hexadecimal: the token itself is not stored. A token is found
-- by it, before its customer is known.
CREATE TABLE provisioning_tokens (
    hash         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    id           UUID    NOT NULL UNIQUE,
    customer_id  BIGINT  NOT NULL REFERENCES customers (id),
    role         TEXT   COLLATE "C" NOT NULL,
    note         TEXT   COLLATE "C" NOT NULL,
    created_at   BIGINT  NOT NULL,
    created_by   TEXT   COLLATE "C" NOT NULL,
    expires_at   BIGINT  NOT NULL,
    revoked_at   BIGINT ,
    last_used_at BIGINT 
);
CREATE INDEX provisioning_tokens_customer_id ON provisioning_tokens (customer_id, created_at);
-- +goose StatementEnd
