-- +goose Up
-- When a campaign's planning last got on: the sweep rings again where it stands still.
ALTER TABLE campaign ADD COLUMN planning_at timestamptz;

-- +goose Down
ALTER TABLE campaign DROP COLUMN planning_at;
