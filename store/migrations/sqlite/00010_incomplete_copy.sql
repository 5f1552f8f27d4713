-- +goose Up
-- +goose StatementBegin

-- Which directory this one is being copied from. There is a row while the copy is not complete.
CREATE TABLE incomplete_copy (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    source TEXT    NOT NULL
) STRICT;
-- +goose StatementEnd
