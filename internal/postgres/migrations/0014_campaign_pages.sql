-- +goose Up
-- Withdrawals from a campaign's mails, for its report.
CREATE INDEX consent_event_campaign ON consent_event (campaign_id, at) WHERE campaign_id IS NOT NULL;
-- The people behind a destination domain.
CREATE INDEX contact_domain ON contact (split_part(address, '@', 2)) WHERE address IS NOT NULL;

-- +goose Down
DROP INDEX contact_domain;
DROP INDEX consent_event_campaign;
