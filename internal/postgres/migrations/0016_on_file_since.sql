-- +goose Up
-- When a contact came on file; of those who are there already, nobody knows.
ALTER TABLE contact ADD COLUMN created_at timestamptz;
ALTER TABLE contact ALTER COLUMN created_at SET DEFAULT now();

-- Overrides are written in the audit log when they are decided; those before
-- were read out of the campaigns.
INSERT INTO audit (actor, action, campaign_id, detail, at)
SELECT override_by, 'campaign override', id, override_reason, coalesce(launched_at, now())
FROM campaign WHERE override_by <> '' AND override_reason <> '';

-- +goose Down
ALTER TABLE contact DROP COLUMN created_at;
