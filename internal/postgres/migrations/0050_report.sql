-- +goose Up
-- Who opted out of a campaign's type by its mails.
CREATE INDEX preference_event_campaign ON preference_event (campaign_id) WHERE campaign_id IS NOT NULL;

-- When it last went on after a pause: the rate of sending is measured from there.
ALTER TABLE campaign ADD COLUMN resumed_at timestamptz;

-- Accounts tell destinations and times apart in another way than they did: they
-- are made anew.
DELETE FROM campaign_account;

-- +goose Down
ALTER TABLE campaign DROP COLUMN resumed_at;
DROP INDEX preference_event_campaign;
