"""A version of the data of each table, which every change raises."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Each transaction that changes a table adds a row: writers do not wait for each other, as they
# would for a counter. The mark is local to the transaction, and undone by ROLLBACK TO SAVEPOINT
# together with the row. Now and then a transaction folds all rows that it sees into one, whose
# `changes` and `token` are those of the folded rows. READ COMMITTED only: a transaction that keeps
# its snapshot might not delete what another one has folded.
COUNT_CHANGE = """
CREATE FUNCTION synfin_count_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  drawn bigint := hashtextextended(gen_random_uuid()::text, 0);
BEGIN
  INSERT INTO synfin_data_versions (token, table_name, changes) VALUES (drawn, TG_ARGV[0], 1);
  PERFORM set_config('synfin.changed_' || TG_ARGV[0], pg_current_xact_id()::text, true);
  IF drawn & 255 = 0 THEN  -- on its own, since it is nearly always false
    IF current_setting('transaction_isolation') = 'read committed'
        AND pg_try_advisory_xact_lock(x'73796e66646174'::bigint) THEN
      WITH folded AS (
        DELETE FROM synfin_data_versions WHERE table_name = TG_ARGV[0] RETURNING token, changes
      )
      INSERT INTO synfin_data_versions (token, table_name, changes)
      SELECT bit_xor(token), TG_ARGV[0], sum(changes) FROM folded;
    END IF;
  END IF;
  RETURN NULL;
END
$$
"""
# A function that runs as the owner of the tables, so that whoever may write to them need not be
# granted more, must not find a table of its caller; and only the owner may attach it to a table.
SECURE = """
DO $$
BEGIN
  EXECUTE 'ALTER FUNCTION synfin_count_change() SET search_path = '
    || quote_ident(current_schema()) || ', pg_temp';
  REVOKE ALL ON FUNCTION synfin_count_change() FROM PUBLIC;
  GRANT SELECT ON synfin_data_versions TO PUBLIC;
END
$$
"""
# Of a partitioned table, statements on a partition itself only fire the triggers of the partition.
# The condition spares the further statements of a transaction the call of the function.
CREATE_TRIGGERS = """
DO $$
DECLARE
  named text;
  relation regclass;
BEGIN
  FOREACH named IN ARRAY ARRAY[{tables}] LOOP
    INSERT INTO synfin_data_versions (token, table_name, changes)
    VALUES (hashtextextended(gen_random_uuid()::text, 0), named, 1);
    FOR relation IN
      SELECT named::regclass UNION SELECT relid FROM pg_partition_tree(named::regclass)
    LOOP
      EXECUTE 'CREATE TRIGGER tr_' || named || '_change AFTER INSERT OR UPDATE OR DELETE '
        || 'OR TRUNCATE ON ' || relation || ' FOR EACH STATEMENT WHEN (current_setting('
        || quote_literal('synfin.changed_' || named)
        || ', true) IS DISTINCT FROM pg_current_xact_id()::text) '
        || 'EXECUTE FUNCTION synfin_count_change(' || quote_literal(named) || ')';
      EXECUTE 'ALTER TABLE ' || relation || ' ENABLE ALWAYS TRIGGER tr_' || named || '_change';
    END LOOP;
  END LOOP;
END
$$
"""
DROP_TRIGGERS = """
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT tgname, tgrelid::regclass AS relation FROM pg_trigger
    WHERE tgfoid = 'synfin_count_change()'::regprocedure
  LOOP
    EXECUTE 'DROP TRIGGER ' || quote_ident(found.tgname) || ' ON ' || found.relation;
  END LOOP;
END
$$
"""
TABLES = (
    "customers",
    "merchants",
    "transactions",
    "ml_features",
    "model_predictions",
    "fraud_patterns",
    "anomaly_patterns",
)


def upgrade() -> None:
    """Create the table of versions, and the triggers that raise them."""
    op.create_table(
        "synfin_data_versions",
        sa.Column("token", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("table_name", sa.String(63), nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_synfin_data_versions"),
    )
    op.execute(COUNT_CHANGE)
    op.execute(SECURE)
    op.execute(CREATE_TRIGGERS.format(tables=", ".join(f"'{name}'" for name in TABLES)))


def downgrade() -> None:
    """Drop the triggers, their function and the table."""
    op.execute(DROP_TRIGGERS)
    op.execute("DROP FUNCTION synfin_count_change()")
    op.drop_table("synfin_data_versions")
