-- +goose Up
ALTER TABLE campaign
    ADD COLUMN scheduled_at timestamptz,
    ADD COLUMN priority text NOT NULL DEFAULT 'normal' CHECK (priority IN ('high', 'normal', 'low')),
    -- At most so many mails a second for this campaign; 0: as fast as can be.
    ADD COLUMN pace double precision NOT NULL DEFAULT 0 CHECK (pace >= 0);
CREATE INDEX campaign_scheduled ON campaign (scheduled_at) WHERE state = 'scheduled';

-- +goose Down
ALTER TABLE campaign DROP COLUMN scheduled_at, DROP COLUMN priority, DROP COLUMN pace;
