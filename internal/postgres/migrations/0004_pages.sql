-- +goose Up

-- The language that the contact chose on our pages; '' for none.
ALTER TABLE contact ADD COLUMN page_language text NOT NULL DEFAULT '';

ALTER TABLE notice DROP CONSTRAINT notice_kind_check;
ALTER TABLE notice ADD CONSTRAINT notice_kind_check CHECK (kind IN ('confirm', 'link', 'added', 'withdrawn'));

-- What a network, as a keyed hash, has asked our public forms for, for their
-- limits. Forgotten after a day.
CREATE TABLE form_use (
    network bytea NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX form_use_network ON form_use (network, at);
CREATE INDEX form_use_at ON form_use (at);

-- +goose Down
DROP TABLE form_use;
ALTER TABLE notice DROP CONSTRAINT notice_kind_check;
ALTER TABLE notice ADD CONSTRAINT notice_kind_check CHECK (kind IN ('confirm', 'link', 'added'));
ALTER TABLE contact DROP COLUMN page_language;
