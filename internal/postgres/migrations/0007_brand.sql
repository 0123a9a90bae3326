-- +goose Up
-- What the recipients' pages look like: one row, or none for our look.
CREATE TABLE brand (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version    bigint NOT NULL,
    colour     text NOT NULL,
    logo       bytea,
    logo_alt   text NOT NULL,
    words      jsonb NOT NULL,
    changed_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE brand;
