-- +goose Up
-- +goose StatementBegin

-- Endpoints that receive changes. An endpoint is a place in the feed, and a lease: the server that is named in worker delivers to it,
-- and changes beat as long as it does.
CREATE TABLE webhooks (
    id            INTEGER PRIMARY KEY CHECK (id > 0),
    customer_id   INTEGER NOT NULL, -- whose changes; 0: all customers'
    url           TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    revision      INTEGER NOT NULL, -- counts what administrators did to the endpoint
    disabled_at   INTEGER,
    disabled_for  TEXT    NOT NULL, -- the reason; empty while the endpoint is enabled
    position      INTEGER NOT NULL, -- the number of the last change that was delivered
    attempts      INTEGER NOT NULL, -- to deliver the next one that failed
    next_at       INTEGER,          -- when it is tried again
    attempted_at  INTEGER,          -- the last attempt of any
    delivered_at  INTEGER,          -- the last that was a success
    answer        TEXT    NOT NULL, -- to the last attempt
    worker        TEXT    NOT NULL, -- empty: none
    beat          INTEGER NOT NULL
) STRICT;

-- The secrets that sign deliveries. While one is replaced, an endpoint has several.
CREATE TABLE webhook_secrets (
    webhook_id INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    sealed     TEXT    NOT NULL,
    expires_at INTEGER, -- NULL: it is not replaced
    PRIMARY KEY (webhook_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE id_blocks_anew (
    name TEXT    PRIMARY KEY CHECK (name IN ('customers', 'companies', 'users', 'webhooks')),
    next INTEGER NOT NULL CHECK (next > 0)
) STRICT, WITHOUT ROWID;
INSERT INTO id_blocks_anew (name, next) SELECT name, next FROM id_blocks;
DROP TABLE id_blocks;
ALTER TABLE id_blocks_anew RENAME TO id_blocks;
INSERT INTO id_blocks (name, next) VALUES ('webhooks', 1);
-- +goose StatementEnd
