"""Webhooks and schedules. Triggers make what webhooks tell due in the transaction that journals it."""

from typing import Final

from alembic import op

from orchestrator.errors import PromiseError

revision = "0004"
down_revision = "0003"

STATEMENTS: Final = (
    """
    CREATE TABLE webhook_endpoints (
      id text COLLATE "C" PRIMARY KEY,
      tenant text COLLATE "C" NOT NULL,
      url text NOT NULL,
      secrets text NOT NULL,
      events text NOT NULL,
      run_id text,
      state text NOT NULL,
      reason text NOT NULL,
      created_at_s double precision NOT NULL
    )
    """,
    "CREATE INDEX webhook_endpoints_tenant ON webhook_endpoints (tenant, run_id)",
    """
    CREATE TABLE webhook_outbox (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      run_id text NOT NULL,
      tenant text NOT NULL,
      plan text NOT NULL,
      status text NOT NULL,
      accepted_at_s double precision NOT NULL,
      at_s double precision NOT NULL,
      usd double precision NOT NULL,
      tokens bigint NOT NULL,
      seq bigint NOT NULL DEFAULT 0,
      question text
    )
    """,
    """
    CREATE TABLE webhook_deliveries (
      id text COLLATE "C" PRIMARY KEY,
      endpoint_id text COLLATE "C" NOT NULL,
      tenant text COLLATE "C" NOT NULL,
      run_id text NOT NULL,
      event text NOT NULL,
      body text NOT NULL,
      created_at_s double precision NOT NULL,
      state text NOT NULL,
      attempts integer NOT NULL,
      due_at_s double precision NOT NULL,
      detail text NOT NULL,
      settled_at_s double precision,
      leased_until_s double precision NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at_s, id) WHERE state = 'pending'",
    "CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (leased_until_s) WHERE state = 'pending'",
    "CREATE INDEX webhook_deliveries_list ON webhook_deliveries (tenant, created_at_s, id)",
    "CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, state)",
    "CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (settled_at_s) WHERE settled_at_s IS NOT NULL",
    """
    CREATE FUNCTION webhook_run_ended() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO webhook_outbox (run_id, tenant, plan, status, accepted_at_s, at_s, usd, tokens)
      SELECT NEW.run_id, NEW.tenant, NEW.plan, NEW.status, NEW.accepted_at_s, NEW.ended_at_s, NEW.usd, NEW.tokens
      WHERE EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.tenant = NEW.tenant AND e.state = 'active'
        AND (e.run_id IS NULL OR e.run_id = NEW.run_id));
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER webhook_run_ended AFTER UPDATE OF status ON runs FOR EACH ROW
    WHEN (OLD.status = 'open' AND NEW.status <> 'open' AND NEW.parent IS NULL)
    EXECUTE FUNCTION webhook_run_ended()
    """,
    """
    CREATE TRIGGER webhook_run_begun_and_ended AFTER INSERT ON runs FOR EACH ROW
    WHEN (NEW.status <> 'open' AND NEW.parent IS NULL)
    EXECUTE FUNCTION webhook_run_ended()
    """,
    """
    CREATE FUNCTION webhook_approval_asked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO webhook_outbox (run_id, tenant, plan, status, accepted_at_s, at_s, usd, tokens, seq, question)
      SELECT r.run_id, r.tenant, r.plan, 'waiting', r.accepted_at_s,
        (convert_from(NEW.header, 'UTF8')::json ->> 3)::double precision, 0, 0, NEW.seq,
        convert_from(NEW.header, 'UTF8')
      FROM runs r WHERE r.id = NEW.run AND EXISTS (SELECT 1 FROM webhook_endpoints e
        WHERE e.tenant = r.tenant AND e.state = 'active' AND (e.run_id IS NULL OR e.run_id = r.run_id));
      RETURN NULL;
    END $$
    """,
    r"""
    CREATE TRIGGER webhook_approval_asked AFTER INSERT ON events FOR EACH ROW
    WHEN (position('"approval.asked"'::bytea IN substring(NEW.header FROM 1 FOR 24)) > 0)
    EXECUTE FUNCTION webhook_approval_asked()
    """,
    """
    CREATE TABLE schedules (
      id text COLLATE "C" PRIMARY KEY,
      tenant text COLLATE "C" NOT NULL,
      created_at_s double precision NOT NULL,
      wake_s double precision,
      version bigint NOT NULL,
      body text NOT NULL
    )
    """,
    "CREATE INDEX schedules_tenant ON schedules (tenant, created_at_s, id)",
    "CREATE INDEX schedules_wake ON schedules (wake_s, id) WHERE wake_s IS NOT NULL",
)


def upgrade() -> None:
    """Make the tables, and the triggers on `runs` and `events`."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Refused: what is due is not thrown away by a command."""
    raise PromiseError(
        "webhooks and schedules are not taken back to an older schema", "restore a backup into a database of its own"
    )
