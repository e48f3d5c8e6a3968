"""Indexes of frauds and of anomalies by time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEXES = {
    "ix_transactions_timestamp_fraud": "is_fraud IS TRUE",
    "ix_transactions_timestamp_anomaly": "is_anomaly IS TRUE",
}


def upgrade() -> None:
    """Create the indexes, in the transaction of the migration; writers wait until it has ended."""
    for name, condition in INDEXES.items():
        op.create_index(name, "transactions", ["timestamp"], postgresql_where=sa.text(condition))


def downgrade() -> None:
    """Drop the indexes, of which the owner of the database may have dropped some."""
    for name in INDEXES:
        op.drop_index(name, "transactions", if_exists=True)
