-- +goose Up

-- pg_trgm comes with PostgreSQL, and the owner of a database may create it.
-- Without it searching works and is slower.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX contact_search ON contact USING gin (lower(' ' || email || ' ' || first_name || ' ' || last_name) gin_trgm_ops)
        WHERE deleted_at IS NULL;
    CREATE INDEX company_search ON company USING gin (lower(' ' || name) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
    RAISE NOTICE 'pg_trgm cannot be had (%); searching for contacts will be slow', SQLERRM;
END
$$;
-- +goose StatementEnd
CREATE INDEX company_name ON company (lower(name));
CREATE INDEX contact_company ON contact (company_id) WHERE company_id IS NOT NULL;

-- Why staff changed a choice; gone when the contact is erased.
CREATE TABLE preference_comment (
    event_id bigint PRIMARY KEY,
    comment  text NOT NULL CHECK (char_length(comment) BETWEEN 1 AND 255)
);

-- Audiences that are used again.
CREATE TABLE saved_audience (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 100),
    filter     jsonb NOT NULL,
    actor      text NOT NULL,
    changed_at timestamptz NOT NULL
);

-- A list of contacts that somebody uploads. Its file is kept until it is
-- taken, so that whoever runs it may be stopped and begun again.
CREATE TABLE contact_import (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_name   text NOT NULL,
    size        bigint NOT NULL DEFAULT 0,
    state       text NOT NULL DEFAULT 'uploading' CHECK (state IN
                    ('uploading', 'uploaded', 'checking', 'checked', 'running', 'finished', 'failed', 'cancelled')),
    actor       text NOT NULL,
    choices     jsonb NOT NULL DEFAULT '{}', -- how the file is read, and what consent is stated
    lines       bigint NOT NULL DEFAULT 0,   -- of the file that are checked or taken
    bytes       bigint NOT NULL DEFAULT 0,   -- of the file that they are
    counts      jsonb NOT NULL DEFAULT '{}',
    problem     text NOT NULL DEFAULT '',    -- why it failed
    lease_until timestamptz,                 -- of whoever runs it
    created_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz
);
CREATE INDEX contact_import_due ON contact_import (id) WHERE state IN ('checking', 'running');
CREATE TABLE contact_import_part (
    import_id bigint NOT NULL REFERENCES contact_import,
    part      integer NOT NULL,
    content   bytea NOT NULL,
    PRIMARY KEY (import_id, part)
);
ALTER TABLE contact_import_part ALTER content SET STORAGE EXTERNAL;
-- Rows that were not taken, or not all of them.
CREATE TABLE contact_import_refusal (
    import_id   bigint NOT NULL REFERENCES contact_import,
    line        bigint NOT NULL,
    column_name text NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    kept        boolean NOT NULL, -- the rest of the row was taken
    row         text NOT NULL,    -- as it was
    PRIMARY KEY (import_id, line)
);

-- +goose Down
DROP TABLE contact_import_refusal, contact_import_part, contact_import, saved_audience, preference_comment;
DROP INDEX contact_company, company_name;
DROP INDEX IF EXISTS company_search, contact_search;
