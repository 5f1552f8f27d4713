-- +goose Up
-- +goose StatementBegin

-- Since when the user must not be erased, NULL if it may be.
ALTER TABLE users ADD COLUMN legal_hold_at INTEGER;

-- Users whose personal data were erased. Their rows in users remain, without names. sweep_from is the number in the feed after which other
-- users' changes have yet to be searched for the user's subject; NULL when that is done.
CREATE TABLE erasures (
    customer_id INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    uuid        TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    sweep_from  INTEGER,
    PRIMARY KEY (customer_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasures_uuid ON erasures (uuid);
CREATE INDEX erasures_sweep ON erasures (at) WHERE sweep_from IS NOT NULL;

-- Changes are still only added, with one exception: an old or a new value, and a subject, may be replaced by "erased".
DROP TRIGGER user_changes_append_only;
CREATE TRIGGER user_changes_append_only BEFORE UPDATE ON user_changes
WHEN NEW.rowid <> OLD.rowid OR NEW.customer_id <> OLD.customer_id OR NEW.user_id <> OLD.user_id OR NEW.version <> OLD.version
    OR NEW.at <> OLD.at OR NEW.actor IS NOT OLD.actor OR NEW.dialect <> OLD.dialect OR NEW.operation <> OLD.operation
    OR NEW.request_id <> OLD.request_id OR NEW.subject NOT IN (OLD.subject, 'erased')
    OR NEW.fields <> OLD.fields AND (
        json_type(NEW.fields) <> 'array' OR json_array_length(NEW.fields) <> json_array_length(OLD.fields)
        OR EXISTS (
            SELECT 1 FROM json_each(OLD.fields) AS o JOIN json_each(NEW.fields) AS n ON n.key = o.key
            WHERE n.type <> 'object'
                OR json_remove(n.value, '$.old', '$.new') IS NOT json_remove(o.value, '$.old', '$.new')
                OR (n.value -> '$.old') IS NOT (o.value -> '$.old') AND (n.value -> '$.old') IS NOT '"erased"'
                OR (n.value -> '$.new') IS NOT (o.value -> '$.new') AND (n.value -> '$.new') IS NOT '"erased"'))
BEGIN
    SELECT RAISE(ABORT, 'user_changes is append-only');
END;
-- +goose StatementEnd
