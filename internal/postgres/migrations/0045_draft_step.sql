-- +goose Up
-- How far the writing of a draft has come, by the number of the step: it is
-- resumed there. Those that were written before have been through all.
ALTER TABLE campaign ADD COLUMN reached smallint NOT NULL DEFAULT 0;
UPDATE campaign SET reached = 3 WHERE state = 'draft' AND version > 1;

-- +goose Down
ALTER TABLE campaign DROP COLUMN reached;
