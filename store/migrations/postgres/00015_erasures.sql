-- +goose Up
-- +goose StatementBegin

-- Since when the user must not be erased, NULL if it may be.
ALTER TABLE users ADD COLUMN legal_hold_at BIGINT;

-- Users whose personal data were erased. Their rows in users remain, without names. sweep_from is the number in the feed after which other
-- users' changes have yet to be searched for the user's subject; NULL when that is done.
CREATE TABLE erasures (
    customer_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    uuid        UUID   NOT NULL,
    at          BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    sweep_from  BIGINT,
    PRIMARY KEY (customer_id, user_id)
);
CREATE INDEX erasures_uuid ON erasures (uuid);
CREATE INDEX erasures_sweep ON erasures (at) WHERE sweep_from IS NOT NULL;

-- Changes are still only added, with one exception: an old or a new value, and a subject, may be replaced by "erased". The function does
-- not go by the name of its table, which is another for a partition or a shard: only changes have fields.
CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before JSONB;
    after  JSONB;
BEGIN
    IF TG_LEVEL = 'ROW' AND TG_OP = 'UPDATE' THEN
        before := to_jsonb(OLD);
        after := to_jsonb(NEW);
        IF jsonb_typeof(before -> 'fields') = 'array' AND jsonb_typeof(after -> 'fields') = 'array'
            AND after - 'fields' - 'subject' = before - 'fields' - 'subject'
            AND (after ->> 'subject') IN (before ->> 'subject', 'erased')
            AND jsonb_array_length(after -> 'fields') = jsonb_array_length(before -> 'fields')
            AND NOT EXISTS (
                SELECT 1 FROM jsonb_array_elements(before -> 'fields') WITH ORDINALITY AS o (change, place)
                    JOIN jsonb_array_elements(after -> 'fields') WITH ORDINALITY AS n (change, place) ON n.place = o.place
                WHERE jsonb_typeof(n.change) <> 'object'
                    OR n.change - 'old' - 'new' <> o.change - 'old' - 'new'
                    OR n.change -> 'old' IS DISTINCT FROM o.change -> 'old' AND n.change -> 'old' IS DISTINCT FROM '"erased"'
                    OR n.change -> 'new' IS DISTINCT FROM o.change -> 'new' AND n.change -> 'new' IS DISTINCT FROM '"erased"') THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
-- +goose StatementEnd
