-- +goose Up

-- Contacts, subscription types, wordings and events are never deleted, which
-- triggers see to. So there are no foreign keys to them: their checks would
-- lock a contact's row for each row written about it.

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: what was written stays', TG_OP, TG_TABLE_NAME;
END
$$;
-- +goose StatementEnd

CREATE TABLE company (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    legacy_id   text UNIQUE,
    name        text NOT NULL,
    no_mailings boolean NOT NULL DEFAULT false
);

CREATE TABLE contact (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    legacy_id     text UNIQUE,
    email         text NOT NULL DEFAULT '',       -- as it was written
    address       text,                           -- normalised; null when there is none that can be mailed
    address_digest bytea,                         -- keyed hash of address, to meet suppression
    first_name    text NOT NULL DEFAULT '',
    last_name     text NOT NULL DEFAULT '',
    company_id    bigint REFERENCES company,
    language      text NOT NULL DEFAULT '',
    has_left      boolean NOT NULL DEFAULT false,
    deleted_at    timestamptz,
    no_mailings   boolean NOT NULL DEFAULT false, -- the legacy flag, kept as evidence
    upgraded_at   timestamptz,
    bounces       integer NOT NULL DEFAULT 0,     -- in a row
    chosen_at     timestamptz,                    -- last choice of subscription types
    awaiting_confirmation boolean NOT NULL DEFAULT false,
    -- Salts the digests in the ledger; gone when the contact is erased.
    salt          bytea DEFAULT uuid_send(gen_random_uuid()),
    CHECK ((address IS NULL) = (address_digest IS NULL))
);
CREATE TRIGGER contact_is_erased_not_deleted BEFORE DELETE ON contact
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE INDEX contact_address ON contact (address) WHERE address IS NOT NULL;
CREATE INDEX contact_not_upgraded ON contact (id) WHERE upgraded_at IS NULL;

CREATE TABLE legacy_mailing (
    contact_id bigint NOT NULL,
    mailing    text NOT NULL,
    sent_at    timestamptz NOT NULL,
    status     text NOT NULL,
    PRIMARY KEY (contact_id, mailing, sent_at, status)
);

CREATE TABLE legacy_interest (
    contact_id bigint NOT NULL,
    interest   text NOT NULL,
    PRIMARY KEY (contact_id, interest)
);

CREATE TABLE interest_mapping (
    interest          text NOT NULL,
    subscription_type text NOT NULL, -- as the tenant wrote it: a type's key or name
    PRIMARY KEY (interest, subscription_type)
);

CREATE TABLE subscription_type (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text NOT NULL UNIQUE,
    position   integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);
CREATE TRIGGER subscription_type_is_retired_not_deleted BEFORE DELETE ON subscription_type
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE subscription_type_name (
    type_id  bigint NOT NULL REFERENCES subscription_type,
    language text NOT NULL,
    name     text NOT NULL CHECK (name <> ''),
    PRIMARY KEY (type_id, language)
);

-- What people saw when they chose, each text once.
CREATE TABLE wording (
    hash bytea PRIMARY KEY, -- SHA-256 of the text
    text text NOT NULL
);
CREATE TRIGGER wording_append_only BEFORE UPDATE OR DELETE ON wording
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The ledger of consent: one row for each change, never changed itself. It
-- holds no personal data: what the digests stand for is kept beside it, and
-- can be erased without breaking the chain.
CREATE TABLE consent_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id bigint NOT NULL,
    purpose    text NOT NULL,
    from_basis text NOT NULL DEFAULT '',
    to_basis   text NOT NULL,
    expires_at timestamptz,
    source     text NOT NULL,
    actor      text NOT NULL,
    wording    bytea, -- in wording
    locale     text NOT NULL DEFAULT '',
    campaign_id bigint,
    address_digest bytea, -- SHA-256 of the contact's salt and the address at the time
    comment_digest bytea, -- the same of the comment
    at         timestamptz NOT NULL,
    hash       bytea NOT NULL -- covers this row and the hash before it for the contact
);
CREATE UNIQUE INDEX consent_event_contact ON consent_event (contact_id, id);

-- The addresses and comments that the ledger's digests stand for.
CREATE TABLE known_address (
    contact_id bigint NOT NULL,
    digest     bytea NOT NULL,
    address    text NOT NULL,
    PRIMARY KEY (contact_id, digest)
);
CREATE TABLE consent_comment (
    event_id bigint PRIMARY KEY,
    comment  text NOT NULL CHECK (char_length(comment) BETWEEN 1 AND 255)
);

CREATE FUNCTION consent_event_hash(previous bytea, contact_id bigint, purpose text, from_basis text, to_basis text,
    expires_at timestamptz, source text, wording bytea, locale text, campaign_id bigint, address_digest bytea,
    comment_digest bytea, at timestamptz, actor text) RETURNS bytea LANGUAGE sql IMMUTABLE
RETURN sha256(coalesce(previous, '') || convert_to(
    contact_id || '|' || purpose || '|' || from_basis || '|' || to_basis
    || '|' || coalesce((extract(epoch FROM expires_at) * 1000000)::bigint::text, '') || '|' || source
    || '|' || coalesce(encode(wording, 'hex'), '') || '|' || locale || '|' || coalesce(campaign_id::text, '')
    || '|' || coalesce(encode(address_digest, 'hex'), '') || '|' || coalesce(encode(comment_digest, 'hex'), '')
    || '|' || (extract(epoch FROM at) * 1000000)::bigint || '|' || actor, 'UTF8'));

CREATE TRIGGER consent_event_append_only BEFORE UPDATE OR DELETE ON consent_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER consent_event_no_truncate BEFORE TRUNCATE ON consent_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The fold of the events: the present state of each purpose.
CREATE TABLE consent (
    contact_id bigint NOT NULL,
    purpose    text NOT NULL,
    basis      text NOT NULL, -- '' when a change was undone: never asked, like no row
    event_id   bigint NOT NULL,
    source     text NOT NULL,
    since      timestamptz NOT NULL, -- when the event happened
    expires_at timestamptz,
    PRIMARY KEY (contact_id, purpose)
);

-- A contact's choice for one subscription type. No row: unset.
CREATE TABLE preference (
    contact_id bigint NOT NULL,
    type_id    bigint NOT NULL,
    choice     text NOT NULL CHECK (choice IN ('in', 'out')),
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (contact_id, type_id)
);

CREATE TABLE preference_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id bigint NOT NULL,
    type_id    bigint NOT NULL,
    from_choice text NOT NULL DEFAULT '',
    to_choice  text NOT NULL,
    source     text NOT NULL,
    actor      text NOT NULL,
    wording    bytea, -- in wording
    locale     text NOT NULL DEFAULT '',
    campaign_id bigint,
    at         timestamptz NOT NULL
);
CREATE INDEX preference_event_contact ON preference_event (contact_id, id);
CREATE TRIGGER preference_event_append_only BEFORE UPDATE OR DELETE ON preference_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER preference_event_no_truncate BEFORE TRUNCATE ON preference_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Addresses that must not be mailed, as keyed hashes: survives erasure.
CREATE TABLE suppression (
    address_digest bytea NOT NULL,
    scope   text NOT NULL CHECK (scope IN ('all', 'marketing', 'type')),
    type_id bigint NOT NULL DEFAULT 0,
    reason  text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (address_digest, scope, type_id, reason),
    CHECK ((scope = 'type') = (type_id <> 0))
);

-- Settings that change while we run. Every change is kept; the newest counts,
-- and its number is the policy version stored with each verdict.
CREATE TABLE setting_change (
    version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text NOT NULL,
    value   text NOT NULL,
    actor   text NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX setting_change_name ON setting_change (name, version DESC);
CREATE TRIGGER setting_change_append_only BEFORE UPDATE OR DELETE ON setting_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Who did what to whom, beyond what the ledgers above say.
CREATE TABLE audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor   text NOT NULL,
    action  text NOT NULL,
    contact_id bigint,
    campaign_id bigint,
    detail  text NOT NULL DEFAULT '', -- no personal data
    at      timestamptz NOT NULL
);
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Changes of a basis for many at once, so that they can be undone at once.
CREATE TABLE bulk_change (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purpose text NOT NULL,
    to_basis text NOT NULL,
    reason  text NOT NULL CHECK (reason <> ''),
    actor   text NOT NULL,
    at      timestamptz NOT NULL,
    undone_at timestamptz
);
CREATE TABLE bulk_change_event (
    bulk_id  bigint NOT NULL REFERENCES bulk_change,
    event_id bigint NOT NULL,
    PRIMARY KEY (bulk_id, event_id)
);

-- +goose Down
DROP TABLE bulk_change_event, bulk_change, audit, setting_change, suppression, preference_event, preference, consent,
    consent_comment, known_address, consent_event, wording, subscription_type_name, subscription_type, interest_mapping, legacy_interest,
    legacy_mailing, contact, company;
DROP FUNCTION consent_event_hash, refuse_change;
