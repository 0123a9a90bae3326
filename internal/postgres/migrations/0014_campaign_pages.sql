-- +goose Up
-- The people behind a destination domain.
CREATE INDEX contact_domain ON contact (split_part(address, '@', 2)) WHERE address IS NOT NULL;

-- +goose Down
DROP INDEX contact_domain;
