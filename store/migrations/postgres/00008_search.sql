-- +goose Up
-- +goose StatementBegin

-- An index for searches for a part of a name or an e-mail. Every user has a row for each part: 1, the first and the last name, and 2,
-- the e-mail. grams are the hashes of the customer's id with each run of three characters of the part; the program computes them.
CREATE TABLE user_search (
    customer_id BIGINT    NOT NULL,
    user_id     BIGINT    NOT NULL,
    part        SMALLINT  NOT NULL CHECK (part IN (1, 2)),
    grams       INTEGER[] NOT NULL,
    PRIMARY KEY (customer_id, user_id, part)
);
-- Searches read the index's pending list as a whole, so it is short.
CREATE INDEX user_search_grams ON user_search USING gin (grams) WITH (fastupdate = on, gin_pending_list_limit = 256);

-- Users whose rows in user_search are to be computed again. Searches look at these users themselves. parts is a set of bits.
CREATE TABLE search_pending (
    customer_id BIGINT   NOT NULL,
    user_id     BIGINT   NOT NULL,
    version     BIGINT   NOT NULL,
    parts       SMALLINT NOT NULL CHECK (parts BETWEEN 1 AND 3),
    PRIMARY KEY (customer_id, user_id, version)
);
INSERT INTO search_pending (customer_id, user_id, version, parts) SELECT customer_id, id, version, 3 FROM users;

-- Triggers, so that users written by a program of an older version are found as well.
CREATE FUNCTION users_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_pending (customer_id, user_id, version, parts) SELECT customer_id, id, version, 3 FROM added
        ON CONFLICT (customer_id, user_id, version) DO UPDATE SET parts = 3;
    RETURN NULL;
END $$;
CREATE FUNCTION users_search_pending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_pending (customer_id, user_id, version, parts) VALUES (NEW.customer_id, NEW.id, NEW.version,
            CASE WHEN OLD.first_name_fold <> NEW.first_name_fold OR OLD.last_name_fold <> NEW.last_name_fold THEN 1 ELSE 0 END
            + CASE WHEN OLD.email_fold <> NEW.email_fold OR OLD.email_search IS DISTINCT FROM NEW.email_search THEN 2 ELSE 0 END)
        ON CONFLICT (customer_id, user_id, version) DO UPDATE SET parts = search_pending.parts | excluded.parts;
    RETURN NULL;
END $$;
CREATE TRIGGER users_search_insert AFTER INSERT ON users REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION users_added();
CREATE TRIGGER users_search_update AFTER UPDATE OF first_name_fold, last_name_fold, email_fold, email_search ON users
    FOR EACH ROW WHEN (OLD.first_name_fold <> NEW.first_name_fold OR OLD.last_name_fold <> NEW.last_name_fold
        OR OLD.email_fold <> NEW.email_fold OR OLD.email_search IS DISTINCT FROM NEW.email_search)
    EXECUTE FUNCTION users_search_pending();
-- +goose StatementEnd
