-- +goose Up
-- What kind of trouble a test of a relay met; '' for none, and for the tests before.
ALTER TABLE relay_test ADD COLUMN trouble text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE relay_test DROP COLUMN trouble;
