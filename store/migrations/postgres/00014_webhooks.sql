-- +goose Up
-- +goose StatementBegin

-- Endpoints that receive changes. An endpoint is a place in the feed, and a lease: the server that is named in worker delivers to it,
-- and changes beat as long as it does. The tables are small and belong to no customer's data: on a sharded database they stay on the node
-- that servers connect to.
CREATE TABLE webhooks (
    id            BIGINT PRIMARY KEY CHECK (id > 0),
    customer_id   BIGINT NOT NULL, -- whose changes; 0: all customers'
    url           TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    revision      BIGINT NOT NULL, -- counts what administrators did to the endpoint
    disabled_at   BIGINT,
    disabled_for  TEXT   NOT NULL, -- the reason; empty while the endpoint is enabled
    position      BIGINT NOT NULL, -- the number of the last change that was delivered
    attempts      BIGINT NOT NULL, -- to deliver the next one that failed
    next_at       BIGINT,          -- when it is tried again
    attempted_at  BIGINT,          -- the last attempt of any
    delivered_at  BIGINT,          -- the last that was a success
    answer        TEXT   NOT NULL, -- to the last attempt
    worker        TEXT   NOT NULL, -- empty: none
    beat          BIGINT NOT NULL
) WITH (fillfactor = 50);

-- The secrets that sign deliveries. While one is replaced, an endpoint has several.
CREATE TABLE webhook_secrets (
    webhook_id BIGINT NOT NULL,
    id         BIGINT NOT NULL,
    sealed     TEXT   NOT NULL,
    expires_at BIGINT, -- NULL: it is not replaced
    PRIMARY KEY (webhook_id, id)
);

ALTER TABLE id_blocks DROP CONSTRAINT id_blocks_name_check;
ALTER TABLE id_blocks ADD CONSTRAINT id_blocks_name_check CHECK (name IN ('customers', 'companies', 'users', 'webhooks'));
INSERT INTO id_blocks (name, next) VALUES ('webhooks', 1);
-- +goose StatementEnd
