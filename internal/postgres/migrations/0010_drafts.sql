-- +goose Up
-- Who saves a draft says which version it was made from, so that nobody's words
-- are written over unseen.
ALTER TABLE campaign
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN changed_at timestamptz,
    ADD COLUMN changed_by text NOT NULL DEFAULT '';

CREATE TABLE mail_template (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content    jsonb NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL
);

-- What a draft or a template looked like before. What one page saves within a
-- stretch is one row.
CREATE TABLE content_version (
    campaign_id bigint REFERENCES campaign ON DELETE CASCADE,
    template_id bigint REFERENCES mail_template ON DELETE CASCADE,
    version  bigint NOT NULL,
    content  jsonb NOT NULL,
    actor    text NOT NULL,
    editor   text NOT NULL, -- the page that saved
    began_at timestamptz NOT NULL,
    at       timestamptz NOT NULL,
    CHECK (num_nonnulls(campaign_id, template_id) = 1)
);
CREATE UNIQUE INDEX content_version_campaign ON content_version (campaign_id, version) WHERE campaign_id IS NOT NULL;
CREATE UNIQUE INDEX content_version_template ON content_version (template_id, version) WHERE template_id IS NOT NULL;

-- Mails to try a draft or template with; forgotten after a day.
CREATE TABLE test_mail (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id  bigint REFERENCES campaign ON DELETE CASCADE,
    template_id  bigint REFERENCES mail_template ON DELETE CASCADE,
    content      jsonb NOT NULL,  -- as it was when it was asked for
    language     text NOT NULL,
    contact_id   bigint,          -- as whom; null: a made-up reader
    address      text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed', 'blocked')),
    reason       text NOT NULL DEFAULT '', -- the gate's, when blocked
    reply        text NOT NULL DEFAULT '',
    attempts     smallint NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    CHECK (num_nonnulls(campaign_id, template_id) = 1)
);
CREATE INDEX test_mail_due ON test_mail (due_at) WHERE state = 'pending';
CREATE INDEX test_mail_campaign ON test_mail (campaign_id, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX test_mail_template ON test_mail (template_id, id) WHERE template_id IS NOT NULL;

-- +goose Down
DROP TABLE test_mail, content_version, mail_template;
ALTER TABLE campaign DROP COLUMN version, DROP COLUMN changed_at, DROP COLUMN changed_by;
