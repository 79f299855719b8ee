"""Sessions: a head for each conversation, compared by its stamp, and its turns."""

from typing import Final

from alembic import op

from orchestrator.errors import PromiseError

revision = "0003"
down_revision = "0002"

STATEMENTS: Final = (
    """
    CREATE TABLE sessions (
      tenant text COLLATE "C" NOT NULL,
      session text COLLATE "C" NOT NULL,
      stamp text NOT NULL,
      version bigint NOT NULL,
      expires_at_s double precision NOT NULL,
      head text NOT NULL,
      PRIMARY KEY (tenant, session)
    )
    """,
    "CREATE INDEX sessions_expiry ON sessions (expires_at_s)",
    """
    CREATE TABLE session_turns (
      tenant text COLLATE "C" NOT NULL,
      session text COLLATE "C" NOT NULL,
      number integer NOT NULL,
      body text NOT NULL,
      PRIMARY KEY (tenant, session, number),
      FOREIGN KEY (tenant, session) REFERENCES sessions ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refused: conversations are not thrown away by a command."""
    raise PromiseError("sessions are not taken back to an older schema", "restore a backup into a database of its own")
