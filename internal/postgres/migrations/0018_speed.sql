-- +goose Up
-- The account of a campaign that has ended: its books in parts, as the ledger had
-- them. It goes when something changes the ledger after the end, and is then made
-- anew.
CREATE TABLE campaign_account (
    campaign_id bigint PRIMARY KEY REFERENCES campaign,
    account     jsonb NOT NULL,
    kept_at     timestamptz NOT NULL
);

-- The people behind a language that few have.
CREATE INDEX contact_language ON contact (language);

-- What is done, by its first word.
CREATE INDEX audit_topic ON audit (split_part(action, ' ', 1), at, id);

-- Those whom the upgrade is for, so that they can be counted in the index alone.
DROP INDEX contact_not_upgraded;
CREATE INDEX contact_not_upgraded ON contact (id) WHERE upgraded_at IS NULL AND deleted_at IS NULL;

-- +goose Down
DROP INDEX contact_language, audit_topic;
DROP INDEX contact_not_upgraded;
CREATE INDEX contact_not_upgraded ON contact (id) WHERE upgraded_at IS NULL;
DROP TABLE campaign_account;
