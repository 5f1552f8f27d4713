-- +goose Up
-- +goose StatementBegin

-- Lists of provisioning clients read the ids of their pages from an index of the users whom they show. By the index of the others, a page
-- had to look at every deprovisioned user before it.
DROP INDEX users_deprovisioned;
CREATE INDEX users_provisioned ON users (customer_id, id) WHERE deprovisioned_at IS NULL;
-- +goose StatementEnd
