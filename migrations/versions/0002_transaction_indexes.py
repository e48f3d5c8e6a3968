"""An index of anomalies by time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_transactions_timestamp_anomaly"


def upgrade() -> None:
    """Create the index, in the transaction of the migration; writers wait until it has ended."""
    condition = sa.text("is_anomaly IS TRUE")
    op.create_index(INDEX, "transactions", ["timestamp"], postgresql_where=condition)


def downgrade() -> None:
    """Drop the index, which the owner of the database may have dropped."""
    op.drop_index(INDEX, "transactions", if_exists=True)
