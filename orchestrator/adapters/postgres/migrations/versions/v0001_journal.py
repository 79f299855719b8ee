"""The journal: runs, their records, payloads and artifacts; who owns runs; what people ask of owners.

`runs.head` and `runs.last_seq` are where a run's chain ends: an append is compared with them. No index holds a column
that an append changes, and pages keep room, so that appends change rows in place.
"""

from alembic import op

from orchestrator.errors import PromiseError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE runs (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      run_id text NOT NULL UNIQUE,
      root text NOT NULL,
      tenant text NOT NULL,
      plan text NOT NULL,
      lane text NOT NULL,
      status text NOT NULL,
      accepted_at_s double precision NOT NULL,
      ended_at_s double precision,
      epoch bigint NOT NULL,
      owner text NOT NULL,
      loads integer NOT NULL DEFAULT 0,
      parked text,
      origin text NOT NULL,
      parent text,
      idempotency_key text,
      request_digest text NOT NULL,
      usd double precision NOT NULL,
      tokens bigint NOT NULL,
      last_seq bigint NOT NULL,
      head bytea NOT NULL,
      forgotten_seq bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 70)
    """,
    "CREATE UNIQUE INDEX runs_key ON runs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX runs_accepted ON runs (accepted_at_s, id)",
    "CREATE INDEX runs_status ON runs (status, accepted_at_s, id)",
    "CREATE INDEX runs_open_root ON runs (root) WHERE status = 'open'",
    "CREATE INDEX runs_open_owner ON runs (owner, accepted_at_s, id) WHERE status = 'open'",
    "CREATE INDEX runs_origin ON runs (origin)",
    "CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL",
    """
    CREATE TABLE events (
      run bigint NOT NULL,
      seq bigint NOT NULL,
      header bytea NOT NULL,
      digest bytea,
      hash bytea NOT NULL,
      PRIMARY KEY (run, seq)
    )
    """,
    "CREATE TABLE artifacts (digest bytea PRIMARY KEY, held boolean NOT NULL, body bytea NOT NULL)",
    """
    CREATE TABLE payloads (
      run bigint NOT NULL,
      seq bigint NOT NULL,
      salt bytea NOT NULL,
      body bytea,
      artifact bytea REFERENCES artifacts (digest),
      PRIMARY KEY (run, seq)
    )
    """,
    "CREATE INDEX payloads_artifact ON payloads (artifact) WHERE artifact IS NOT NULL",
    """
    CREATE TABLE owners (
      owner text PRIMARY KEY,
      lease_until timestamptz NOT NULL,
      since timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    """
    CREATE TABLE requests (
      id text PRIMARY KEY,
      run_id text NOT NULL,
      root text NOT NULL,
      verb text NOT NULL,
      args text NOT NULL,
      as_of_seq bigint NOT NULL,
      asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      taken_by text,
      answer text,
      answered_at timestamptz
    )
    """,
    "CREATE INDEX requests_open ON requests (root, asked_at) WHERE answer IS NULL",
    "CREATE INDEX requests_answered ON requests (answered_at) WHERE answer IS NOT NULL",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refused: what a journal holds is not thrown away by a command; restore a backup instead."""
    raise PromiseError("a journal is not taken back to an older schema", "restore a backup into a database of its own")
