-- +goose Up
-- +goose StatementBegin

-- For each key that seals secrets a text that is sealed with it, so that a wrong key is found when the directory is opened.
CREATE TABLE secret_keys (
    id     TEXT PRIMARY KEY CHECK (id <> ''),
    canary TEXT NOT NULL
);
-- +goose StatementEnd
