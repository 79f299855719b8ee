"""Items and groups of the batch lane."""

from typing import Final

from alembic import op

from orchestrator.errors import PromiseError

revision = "0005"
down_revision = "0004"

STATEMENTS: Final = (
    """
    CREATE TABLE batch_items (
      id text COLLATE "C" PRIMARY KEY,
      line text COLLATE "C" NOT NULL,
      model text COLLATE "C" NOT NULL,
      state text COLLATE "C" NOT NULL,
      grp text COLLATE "C" NOT NULL,
      asked_at_s double precision NOT NULL,
      until_s double precision NOT NULL,
      entry text NOT NULL
    )
    """,
    "CREATE INDEX batch_items_waiting ON batch_items (line, model, asked_at_s) WHERE state = 'waiting'",
    "CREATE INDEX batch_items_sent ON batch_items (grp) WHERE state = 'sent'",
    "CREATE INDEX batch_items_over ON batch_items (until_s) WHERE state NOT IN ('waiting', 'sent')",
    """
    CREATE TABLE batch_groups (
      key text COLLATE "C" PRIMARY KEY,
      line text COLLATE "C" NOT NULL,
      owner text COLLATE "C" NOT NULL,
      at_s double precision NOT NULL,
      batch text NOT NULL
    )
    """,
    "CREATE INDEX batch_groups_line ON batch_groups (line, at_s)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refused: what was handed over is not forgotten by a command."""
    raise PromiseError(
        "the batch lane is not taken back to an older schema", "restore a backup into a database of its own"
    )
