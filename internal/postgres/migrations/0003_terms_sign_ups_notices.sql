-- +goose Up

-- The tenant's own purposes and legal bases, and the built-in ones. A basis of
-- the tenant's counts as a built-in one, for ever: events rest on it.
CREATE TABLE purpose (
    key        text PRIMARY KEY,
    names      jsonb NOT NULL, -- by language
    built_in   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);
CREATE TABLE legal_basis (
    key        text PRIMARY KEY,
    counts_as  text NOT NULL,
    names      jsonb NOT NULL,
    built_in   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);
INSERT INTO purpose (key, names, built_in, created_at) VALUES
    ('store', '{"en": "Sales and service", "da": "Salg og service"}', true, 'epoch'),
    ('emarketing', '{"en": "E-marketing", "da": "E-marketing"}', true, 'epoch');
INSERT INTO legal_basis (key, counts_as, names, built_in, created_at) VALUES
    ('consent', 'consent', '{"en": "Consent", "da": "Samtykke"}', true, 'epoch'),
    ('contract', 'contract', '{"en": "Contract", "da": "Kontrakt"}', true, 'epoch'),
    ('legal_obligation', 'legal_obligation', '{"en": "Legal obligation", "da": "Retlig forpligtelse"}', true, 'epoch'),
    ('vital_interests', 'vital_interests', '{"en": "Vital interests", "da": "Vitale interesser"}', true, 'epoch'),
    ('public_interest', 'public_interest', '{"en": "Public interest", "da": "Samfundets interesse"}', true, 'epoch'),
    ('legitimate_interest', 'legitimate_interest', '{"en": "Legitimate interest", "da": "Legitim interesse"}', true, 'epoch'),
    ('soft_opt_in', 'soft_opt_in', '{"en": "Soft opt-in", "da": "Undtagelsen for egne kunder"}', true, 'epoch'),
    ('withdrawn', 'withdrawn', '{"en": "Withdrawn", "da": "Tilbagetrukket"}', true, 'epoch');
-- +goose StatementBegin
CREATE FUNCTION refuse_other_meaning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.key <> OLD.key OR NEW.counts_as <> OLD.counts_as THEN
        RAISE EXCEPTION 'a legal basis keeps its key and what it counts as: events rest on it';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER legal_basis_keeps_its_meaning BEFORE UPDATE ON legal_basis FOR EACH ROW EXECUTE FUNCTION refuse_other_meaning();
CREATE TRIGGER legal_basis_is_retired_not_deleted BEFORE DELETE ON legal_basis FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER purpose_is_retired_not_deleted BEFORE DELETE ON purpose FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The words that a purpose is asked for with. The newest of a language is
-- shown; what an older one was shown in still counts.
CREATE TABLE wording_version (
    version  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purpose  text NOT NULL,
    language text NOT NULL,
    hash     bytea NOT NULL, -- in wording
    actor    text NOT NULL,
    at       timestamptz NOT NULL
);
CREATE TRIGGER wording_version_append_only BEFORE UPDATE OR DELETE ON wording_version FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A request to be mailed, until it is confirmed by a click in the mailbox.
CREATE TABLE sign_up (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id   bigint NOT NULL,
    purpose      text NOT NULL,
    types        bigint[] NOT NULL, -- subscription types that were chosen
    wording      bytea NOT NULL,    -- what was shown, in wording
    locale       text NOT NULL,
    network      bytea NOT NULL,    -- keyed hash of the network it came from
    requested_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    confirmed_at timestamptz
);
CREATE INDEX sign_up_contact ON sign_up (contact_id, requested_at);
CREATE INDEX sign_up_network ON sign_up (network, requested_at);
CREATE INDEX sign_up_open ON sign_up (expires_at) WHERE confirmed_at IS NULL;

-- Mails that we send by ourselves to one person, kept until they have left.
CREATE TABLE notice (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id bigint NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('confirm', 'link', 'added')),
    sign_up_id bigint,
    locale     text NOT NULL,
    state      text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed', 'blocked')),
    reason     text NOT NULL DEFAULT '', -- the gate's
    attempts   smallint NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL,     -- of the next attempt
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    reply      text NOT NULL DEFAULT '',
    CHECK ((kind = 'confirm') = (sign_up_id IS NOT NULL))
);
CREATE INDEX notice_due ON notice (due_at) WHERE state = 'pending';
CREATE INDEX notice_contact ON notice (contact_id, created_at);

-- +goose Down
DROP TABLE notice, sign_up, wording_version, legal_basis, purpose;
DROP FUNCTION refuse_other_meaning;
