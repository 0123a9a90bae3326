-- +goose Up
CREATE TABLE staff (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email         text NOT NULL UNIQUE, -- lower case
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('viewer', 'marketer', 'officer', 'administrator')),
    language      text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    disabled_at   timestamptz
);
-- Sessions are kept here, because Redis may be emptied at any time.
CREATE TABLE staff_session (
    token_hash bytea PRIMARY KEY,
    staff_id   bigint NOT NULL REFERENCES staff,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX staff_session_staff ON staff_session (staff_id);
-- A link by which somebody gives themself a password, once.
CREATE TABLE staff_invitation (
    token_hash bytea PRIMARY KEY,
    email      text NOT NULL DEFAULT '', -- '' for the first user, who says
    role       text NOT NULL,
    expires_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE staff_invitation, staff_session, staff;
