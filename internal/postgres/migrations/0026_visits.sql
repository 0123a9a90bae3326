-- +goose Up
-- How often a batch was visited: a bell rung before the last visit is not heeded.
ALTER TABLE batch ADD COLUMN visits integer NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE batch DROP COLUMN visits;
