-- +goose Up
-- +goose StatementBegin

-- Every key and foreign key of a customer's data contains the customer's id, so that the tables can be partitioned by it. What is unique
-- over the platform is in claims.

-- The feed gives each change a number. Its rows are only added, in one transaction for many changes. feed_number is for readers of all
-- customers' changes.
CREATE TABLE feed (
    customer_id BIGINT NOT NULL,
    number      BIGINT NOT NULL CHECK (number > 0),
    user_id     BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (customer_id, number)
);
INSERT INTO feed (customer_id, number, user_id, version)
    SELECT customer_id, number, user_id, version FROM user_changes WHERE number IS NOT NULL;
CREATE INDEX feed_number ON feed (number);

-- The changes that have no number yet. A row is added in the transaction of the change, and deleted in that of the number.
CREATE TABLE feed_pending (
    customer_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (customer_id, user_id, version)
);
INSERT INTO feed_pending (customer_id, user_id, version, at)
    SELECT customer_id, user_id, version, at FROM user_changes WHERE number IS NULL;

-- The highest number that was given, and the highest that readers may see. Whoever gives numbers locks the row.
CREATE TABLE feed_state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    assigned  BIGINT NOT NULL,
    published BIGINT NOT NULL CHECK (published <= assigned)
);
INSERT INTO feed_state (id, assigned, published) SELECT 1, coalesce(max(number), 0), coalesce(max(number), 0) FROM feed;

DROP TRIGGER user_changes_append_only ON user_changes;
DROP TRIGGER user_changes_stay ON user_changes;
DROP FUNCTION user_changes_append_only();
ALTER TABLE user_changes DROP COLUMN number;

ALTER TABLE user_changes DROP CONSTRAINT user_changes_user_id_fkey, DROP CONSTRAINT user_changes_customer_id_fkey,
    DROP CONSTRAINT user_changes_pkey;
ALTER TABLE reserved_folds DROP CONSTRAINT reserved_folds_user_id_fkey, DROP CONSTRAINT reserved_folds_customer_id_fkey;
ALTER TABLE users DROP CONSTRAINT users_pkey, DROP CONSTRAINT users_uuid_key, DROP CONSTRAINT users_username_fold_key,
    DROP CONSTRAINT users_email_fold_key;
DROP INDEX users_customer_id;
-- The customer is not first in the key of the UUIDs: while statistics lag behind the table, Postgres takes that index for as good as the
-- primary key to find a user by customer and id, as the check of a foreign key does, and reads all the customer's users.
ALTER TABLE users ADD PRIMARY KEY (customer_id, id), ADD UNIQUE (uuid, customer_id);
ALTER TABLE user_changes ADD PRIMARY KEY (customer_id, user_id, version),
    ADD FOREIGN KEY (customer_id, user_id) REFERENCES users (customer_id, id);
ALTER TABLE reserved_folds ADD FOREIGN KEY (customer_id, user_id) REFERENCES users (customer_id, id);

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER user_changes_append_only BEFORE UPDATE OR DELETE ON user_changes FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER user_changes_stay BEFORE TRUNCATE ON user_changes FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER feed_append_only BEFORE UPDATE OR DELETE ON feed FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER feed_stay BEFORE TRUNCATE ON feed FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Ids are generated in blocks: whoever needs some adds to next. No sequence and no lock of a table is involved.
CREATE TABLE id_blocks (
    name TEXT   PRIMARY KEY CHECK (name IN ('customers', 'companies', 'users')),
    next BIGINT NOT NULL CHECK (next > 0)
);
INSERT INTO id_blocks (name, next)
    SELECT 'customers', greatest((SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM customers_id_seq), (SELECT coalesce(max(id), 0) + 1 FROM customers)) UNION ALL
    SELECT 'companies', greatest((SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM companies_id_seq), (SELECT coalesce(max(id), 0) + 1 FROM companies)) UNION ALL
    SELECT 'users', greatest((SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM users_id_seq), (SELECT coalesce(max(id), 0) + 1 FROM users));
ALTER TABLE customers ALTER COLUMN id DROP IDENTITY;
ALTER TABLE companies ALTER COLUMN id DROP IDENTITY;
ALTER TABLE users ALTER COLUMN id DROP IDENTITY;

-- A count is the sum of several rows, so that those who add users to one customer at the same time need not wait for each other.
ALTER TABLE user_counts ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user_counts DROP CONSTRAINT user_counts_pkey;
ALTER TABLE user_counts ADD PRIMARY KEY (customer_id, slot);
ALTER TABLE user_counts ALTER COLUMN slot DROP DEFAULT;
ALTER TABLE user_blocks ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user_blocks DROP CONSTRAINT user_blocks_pkey;
ALTER TABLE user_blocks ADD PRIMARY KEY (customer_id, block, slot);
ALTER TABLE user_blocks ALTER COLUMN slot DROP DEFAULT;
-- +goose StatementEnd
