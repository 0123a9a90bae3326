-- +goose Up
ALTER TABLE contact ADD COLUMN time_zone text NOT NULL DEFAULT ''; -- IANA name; '': not known

ALTER TABLE delivery
    ADD COLUMN lane integer NOT NULL DEFAULT 0,   -- where it goes: a hash of the domain
    ADD COLUMN deferred_since timestamptz;        -- when it was deferred first

ALTER TABLE batch ADD COLUMN not_before timestamptz; -- its recipients' own time has not come before

-- A campaign that waits for each recipient's own time of day.
ALTER TABLE campaign
    ADD COLUMN local_time timestamp,
    ADD COLUMN local_zone text NOT NULL DEFAULT '',  -- of recipients whose zone is not known
    ADD CHECK ((local_time IS NULL) = (local_zone = ''));

-- How fast mail may go through a relay, or to a destination.
CREATE TABLE send_limit (
    kind        text NOT NULL CHECK (kind IN ('relay', 'destination')),
    name        text NOT NULL,
    domains     text[] NOT NULL DEFAULT '{}',
    per_second  double precision NOT NULL DEFAULT 0 CHECK (per_second >= 0),
    connections integer NOT NULL DEFAULT 0 CHECK (connections >= 0),
    warm_up_from   date,
    warm_up_first  integer NOT NULL DEFAULT 0,
    warm_up_growth double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, name),
    CHECK ((warm_up_from IS NULL) = (warm_up_first = 0))
);

-- Withdrawals and complaints that a campaign has brought.
CREATE INDEX consent_event_campaign ON consent_event (campaign_id, source) WHERE campaign_id IS NOT NULL;

-- +goose Down
DROP INDEX consent_event_campaign;
DROP TABLE send_limit;
ALTER TABLE campaign DROP COLUMN local_time, DROP COLUMN local_zone;
ALTER TABLE batch DROP COLUMN not_before;
ALTER TABLE delivery DROP COLUMN lane, DROP COLUMN deferred_since;
ALTER TABLE contact DROP COLUMN time_zone;
