-- +goose Up
-- How often the worker that was sending a mail ended without a word; doubts are
-- those that a relay has caused, and decide whether it is sent again.
ALTER TABLE delivery ADD COLUMN lapses smallint NOT NULL DEFAULT 0;
-- How often a campaign was let go on: what failed before counts no more.
ALTER TABLE campaign ADD COLUMN resumed integer NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE delivery DROP COLUMN lapses;
ALTER TABLE campaign DROP COLUMN resumed;
