-- +goose Up
-- +goose StatementBegin

-- Up to which number of the feed old values were erased from the history.
CREATE TABLE history_retention (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
) WITH (fillfactor = 50);
INSERT INTO history_retention (id, number) VALUES (1, 0);

-- Users with entries up to that number that have their values yet: for a legal hold, or as they were not old enough. at is the time of the
-- latest of them.
CREATE TABLE history_retained (
    customer_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (customer_id, user_id)
);
-- +goose StatementEnd
