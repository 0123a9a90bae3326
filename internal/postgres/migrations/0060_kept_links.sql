-- +goose Up
-- Unsubscribe links of the tenant's own that somebody has decided to keep: whose
-- draft or template they stand in, where, and why they stay. A link that is
-- written anew, or elsewhere, is asked about again.
CREATE TABLE kept_link (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	campaign_id bigint REFERENCES campaign ON DELETE CASCADE,
	template_id bigint REFERENCES mail_template ON DELETE CASCADE,
	language text NOT NULL,
	part text NOT NULL,
	original text NOT NULL,
	reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
	actor text NOT NULL,
	at timestamptz NOT NULL,
	CHECK (num_nonnulls(campaign_id, template_id) = 1)
);
CREATE UNIQUE INDEX kept_link_of ON kept_link (coalesce(campaign_id, 0), coalesce(template_id, 0), language, part, md5(original));

-- The audit log is asked for one kind of action alone.
CREATE INDEX audit_action ON audit (action, at, id);

-- +goose Down
DROP INDEX audit_action;
DROP TABLE kept_link;
