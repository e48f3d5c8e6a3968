"""A function with which the planner sees the values of a query, which are not in its text."""

from collections.abc import Sequence

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Settings change, but not within one query. Because the function is declared immutable, the planner
# replaces a call by its value, so that the plan is the same as with a literal. So it must not be
# used where a plan or a result is kept: in a view, an index or a prepared statement.
CREATE = """
CREATE FUNCTION synfin_value(setting text, type anyelement) RETURNS anyelement
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN pg_catalog.current_setting(setting);
END
$$
"""


def upgrade() -> None:
    """Create the function."""
    op.execute(CREATE)


def downgrade() -> None:
    """Drop the function."""
    op.execute("DROP FUNCTION synfin_value(text, anyelement)")
