"""Keys of the HTTP service."""

from typing import Final

from alembic import op

from orchestrator.errors import PromiseError

revision = "0002"
down_revision = "0001"

STATEMENTS: Final = (
    """
    CREATE TABLE api_keys (
      id text PRIMARY KEY,
      name text NOT NULL,
      tenant text NOT NULL,
      scopes text NOT NULL,
      digest text NOT NULL,
      created_at_s double precision NOT NULL,
      caps text NOT NULL,
      expires_at_s double precision,
      revoked_at_s double precision
    )
    """,
)


def upgrade() -> None:
    """Make the table."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refused: a revoked key must not come back by a command."""
    raise PromiseError("keys are not taken back to an older schema", "restore a backup into a database of its own")
