-- +goose Up
-- +goose StatementBegin

-- What provisioning clients say of a user: their own id, which no two users of a customer share, and a name to show.
ALTER TABLE users ADD COLUMN external_id TEXT COLLATE "C" CHECK (external_id <> '');
ALTER TABLE users ADD COLUMN display_name TEXT COLLATE "C" CHECK (display_name <> '');
CREATE UNIQUE INDEX users_external_id ON users (customer_id, external_id) WHERE external_id IS NOT NULL;

-- When a provisioning client deleted the user, who stays, INACTIVE. Lists of such clients leave the user out.
ALTER TABLE users ADD COLUMN deprovisioned_at BIGINT;
CREATE INDEX users_deprovisioned ON users (customer_id, id) WHERE deprovisioned_at IS NOT NULL;

-- How many of the users are deprovisioned. Only the sum over slots is meant: one row may be negative.
ALTER TABLE user_counts ADD COLUMN deprovisioned BIGINT NOT NULL DEFAULT 0;
ALTER TABLE user_blocks ADD COLUMN deprovisioned BIGINT NOT NULL DEFAULT 0;
-- +goose StatementEnd
