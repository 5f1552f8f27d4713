-- +goose Up
-- +goose StatementBegin

-- Times are milliseconds since the epoch, UTC. Ids stay below 2^53, so that JavaScript clients keep them.

CREATE TABLE customers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 9007199254740991),
    uuid       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT,
    updated_at INTEGER NOT NULL,
    updated_by TEXT
) STRICT;

CREATE TABLE companies (
    id          INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 9007199254740991),
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    name        TEXT    NOT NULL
) STRICT;
CREATE INDEX companies_customer_id ON companies (customer_id, id);

-- The catalogue of roles. Sets of them (implies, users.roles) are bits: bit n stands for the role with id n.
CREATE TABLE roles (
    id            INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 62),
    name          TEXT    NOT NULL UNIQUE,
    rank          INTEGER NOT NULL CHECK (rank >= 0),
    subrole_uuid  TEXT    UNIQUE,
    subrole_code  TEXT    UNIQUE,
    subrole_label TEXT,
    implies       INTEGER NOT NULL CHECK (implies >= 0),
    CHECK ((subrole_uuid IS NULL) = (subrole_code IS NULL) AND (subrole_uuid IS NULL) = (subrole_label IS NULL))
) STRICT;

INSERT INTO roles (id, name, rank, subrole_uuid, subrole_code, subrole_label, implies) VALUES
    (1,  'ROLE_ADMIN',         3, 'e50822ad-98ce-4612-aec4-e2f6c3437b2a', 'owner',        'Owner',        (1 << 2) | (1 << 3)),
    (2,  'ROLE_COMPANY_ADMIN', 2, 'e0d4970f-0f4d-4a0d-aaa6-681a048cb656', 'cro',          'CRO',          (1 << 3)),
    (3,  'ROLE_USER',          1, '6351c76f-76a3-4950-9cc4-cc37cdc05ec2', 'risk_analyst', 'Risk Analyst', 0),
    (4,  'ROLE_RUN_TEST',      0, NULL, NULL, NULL, 0),
    (5,  'ROLE_CHANGE_USER',   0, NULL, NULL, NULL, 0),
    (11, 'ROLE_READ_ONLY',     0, NULL, NULL, NULL, 0),
    (12, 'ROLE_REPORT',        0, NULL, NULL, NULL, 0);

CREATE TABLE users (
    id                     INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 9007199254740991),
    uuid                   TEXT    NOT NULL UNIQUE,
    customer_id            INTEGER NOT NULL REFERENCES customers (id),
    first_name             TEXT    NOT NULL,
    first_name_fold        TEXT    NOT NULL,
    last_name              TEXT    NOT NULL,
    last_name_fold         TEXT    NOT NULL,
    username               TEXT    NOT NULL,
    username_fold          TEXT    NOT NULL UNIQUE,
    email                  TEXT    NOT NULL,
    email_fold             TEXT    NOT NULL UNIQUE,
    mobile                 TEXT    CHECK (mobile <> ''),
    roles                  INTEGER NOT NULL CHECK (roles >= 0),
    status                 TEXT    NOT NULL CHECK (status IN ('INVITED', 'ACTIVE', 'INACTIVE')),
    account_non_expired    INTEGER NOT NULL CHECK (account_non_expired IN (0, 1)),
    account_non_locked     INTEGER NOT NULL CHECK (account_non_locked IN (0, 1)),
    credential_non_expired INTEGER NOT NULL CHECK (credential_non_expired IN (0, 1)),
    password_hash          TEXT,
    last_password_reset_at INTEGER,
    access_token_sealed    TEXT    NOT NULL,
    vcs_password_sealed    TEXT,
    email_verified         INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    first_login            INTEGER NOT NULL CHECK (first_login IN (0, 1)),
    external_auth_id       TEXT,
    created_at             INTEGER NOT NULL,
    created_by             TEXT,
    updated_at             INTEGER NOT NULL,
    updated_by             TEXT,
    version                INTEGER NOT NULL CHECK (version > 0)
) STRICT;
CREATE INDEX users_customer_id ON users (customer_id, id);
-- +goose StatementEnd
