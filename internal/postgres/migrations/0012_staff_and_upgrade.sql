-- +goose Up
ALTER TABLE staff ADD COLUMN time_zone text NOT NULL DEFAULT ''; -- '': the installation's
ALTER TABLE staff_session
    ADD COLUMN id      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN agent   text NOT NULL DEFAULT ''; -- what the browser calls itself
ALTER TABLE staff_invitation
    ADD COLUMN id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN invited_by text NOT NULL DEFAULT '',
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();

CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_actor ON audit (actor, at, id);
CREATE INDEX audit_contact ON audit (contact_id, at, id) WHERE contact_id IS NOT NULL;

-- What a worker says of itself when it starts: its relays without passwords, the
-- domains that it signs for, and where bounces go.
ALTER TABLE worker ADD COLUMN about jsonb NOT NULL DEFAULT '{}';

-- A wish that a worker logs in at a relay and says what it found.
CREATE TABLE relay_test (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relay    text NOT NULL, -- host and port
    actor    text NOT NULL,
    asked_at timestamptz NOT NULL,
    taken_at timestamptz,
    done_at  timestamptz,
    ok       boolean NOT NULL DEFAULT false,
    says     text NOT NULL DEFAULT '' -- what it offers, or what is wrong
);
CREATE INDEX relay_test_open ON relay_test (id) WHERE taken_at IS NULL;
CREATE INDEX relay_test_relay ON relay_test (relay, id);

-- An upgrade, or a dry run of one, that was asked for in the console.
CREATE TABLE upgrade_run (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor       text NOT NULL,
    dry_run     boolean NOT NULL,
    threshold   integer NOT NULL,
    legacy_urls text[] NOT NULL,
    started_at  timestamptz NOT NULL,
    beat_at     timestamptz NOT NULL,       -- whoever runs it says so now and then
    step        smallint NOT NULL DEFAULT 0, -- the point that is being done
    finished_at timestamptz,
    report      jsonb NOT NULL DEFAULT '{}',
    problem     text NOT NULL DEFAULT ''    -- why it ended without a result
);
CREATE UNIQUE INDEX upgrade_run_alone ON upgrade_run ((true)) WHERE finished_at IS NULL;

-- +goose Down
DROP TABLE upgrade_run, relay_test;
ALTER TABLE worker DROP COLUMN about;
DROP INDEX audit_contact, audit_actor, audit_at;
ALTER TABLE staff_invitation DROP COLUMN id, DROP COLUMN invited_by, DROP COLUMN created_at;
ALTER TABLE staff_session DROP COLUMN id, DROP COLUMN seen_at, DROP COLUMN agent;
ALTER TABLE staff DROP COLUMN time_zone;
