-- +goose Up

CREATE TABLE campaign (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    state      text NOT NULL DEFAULT 'draft' CHECK (state IN
                   ('draft', 'scheduled', 'planning', 'sending', 'paused', 'finished', 'cancelled')),
    class      text NOT NULL DEFAULT 'marketing' CHECK (class IN ('marketing', 'service')),
    type_name  text NOT NULL DEFAULT '',            -- the subscription type asked for; '': any
    type_id    bigint REFERENCES subscription_type,
    content    jsonb NOT NULL,                      -- frozen at launch
    override_reason text NOT NULL DEFAULT '',       -- not empty: the override is on
    override_by text NOT NULL DEFAULT '',
    pause_reason text NOT NULL DEFAULT '',
    -- How far planning has come: contacts up to planned_through are in
    -- delivery; it ends at audience_end, fixed at launch.
    planned_through bigint NOT NULL DEFAULT 0,
    audience_end    bigint NOT NULL DEFAULT 0,
    batches         integer NOT NULL DEFAULT 0,
    audience        bigint NOT NULL DEFAULT 0,      -- contacts planned so far: the books must come to this
    created_at  timestamptz NOT NULL,
    launched_at timestamptz,
    planned_at  timestamptz,
    finished_at timestamptz,
    CHECK ((override_reason = '') = (override_by = '')),
    CHECK (state = 'draft' OR (type_name = '') = (type_id IS NULL)),
    CHECK (state <> 'finished' OR (planned_at IS NOT NULL AND finished_at IS NOT NULL))
);

-- A part of a campaign that one task works on. Closed when none of its rows
-- is pending, sending or deferred.
CREATE TABLE batch (
    campaign_id bigint NOT NULL REFERENCES campaign,
    batch       integer NOT NULL,
    rung_at     timestamptz NOT NULL, -- when its task was last asked for
    closed_at   timestamptz,
    PRIMARY KEY (campaign_id, batch)
);
CREATE INDEX batch_open ON batch (campaign_id, batch) WHERE closed_at IS NULL;

-- Who works. A row in state sending belongs to its worker for as long as the
-- worker's lease lasts.
CREATE TABLE worker (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

-- One row for each recipient of a campaign, with what became of it. No index
-- covers what changes, so that changes stay within their page; no foreign
-- keys, because their checks would lock a contact's row for each mail.
CREATE TABLE delivery (
    campaign_id    bigint NOT NULL,
    batch          integer NOT NULL,
    contact_id     bigint NOT NULL,
    state          text NOT NULL CHECK (state IN
                       ('pending', 'sending', 'sent', 'deferred', 'failed', 'in_doubt', 'cancelled', 'blocked')),
    reason         text NOT NULL,   -- the gate's, of the last verdict
    event_id       bigint,          -- the consent event the verdict rests on
    lifted         text[],          -- reasons lifted by an override
    policy_version bigint NOT NULL,
    attempts       smallint NOT NULL DEFAULT 0,
    doubts         smallint NOT NULL DEFAULT 0, -- how often the outcome was unknown
    worker_id      bigint,
    next_attempt_at timestamptz,
    changed_at     timestamptz NOT NULL,
    code           smallint,        -- the last SMTP reply: code, RFC 3463 code, text
    enhanced       text,
    reply          text,
    relay          text,
    PRIMARY KEY (campaign_id, batch, contact_id),
    CHECK ((state = 'sending') = (worker_id IS NOT NULL)),
    CHECK ((state = 'deferred') = (next_attempt_at IS NOT NULL))
) WITH (fillfactor = 45);
CREATE INDEX delivery_contact ON delivery (contact_id, campaign_id);

-- +goose Down
DROP TABLE delivery, worker, batch, campaign;
