"""Where Alembic comes in: runs the changes on the connection that `upgrade` hands over, or prints them."""

from alembic import context

from orchestrator.adapters.postgres.schema import VERSION_TABLE


def run() -> None:
    """One transaction per change: a change is there whole, or not at all."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        context.configure(
            dialect_name="postgresql", literal_binds=True, transaction_per_migration=True, version_table=VERSION_TABLE
        )
    else:
        context.configure(connection=connection, transaction_per_migration=True, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


run()
