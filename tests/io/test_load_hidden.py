"""Tables that are not seen whole, or hidden behind others of their name."""

import contextlib

import atomicity
import polars as pl
import pytest
from sqlalchemy import select, text

from synfin_analytics.database.models import Merchant
from synfin_analytics.exceptions import InvalidDataError, LoadError, SchemaError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories import MerchantRepository

ROWS = 3 * atomicity.BATCH


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)


@contextlib.contextmanager
def arranged(manager, do, undo):
    with atomicity.watcher(manager) as cursor:
        cursor.execute(do)
        try:
            yield
        finally:
            cursor.execute(undo)


def merchants(count, start=0):
    return pl.DataFrame({"merchant_id": [f"M{number}" for number in range(start, start + count)]})


def count(manager, table="merchants"):
    return int(read_df(f"SELECT count(*) AS n FROM {table}", manager=manager)["n"][0])


# -- Row-level security -----------------------------------------------------------------------

POLICIES = """
    CREATE ROLE keeper;
    GRANT ALL ON SCHEMA public TO keeper;
    ALTER TABLE merchants OWNER TO keeper;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO keeper;
    ALTER TABLE merchants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY seen ON merchants FOR SELECT TO keeper USING (country = 'NO');
    CREATE POLICY added ON merchants FOR INSERT TO keeper WITH CHECK (true);
    CREATE POLICY changed ON merchants FOR UPDATE TO keeper USING (city = 'Oslo') WITH CHECK (true);
"""
NO_POLICIES = """
    DROP POLICY seen ON merchants; DROP POLICY added ON merchants; DROP POLICY changed ON merchants;
    ALTER TABLE merchants DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    REASSIGN OWNED BY keeper TO CURRENT_USER; DROP OWNED BY keeper; DROP ROLE keeper;
"""


@pytest.fixture
def clerk(manager):
    """A session of the tables' owner, to whom a policy shows merchants of Norway only."""
    load_df(merchants(ROWS), "merchants", manager=manager)
    with arranged(manager, POLICIES, NO_POLICIES), manager.get_session() as session:
        session.execute(text("SET ROLE keeper"))
        yield session


@pytest.mark.parametrize("valid", [True, False])
def test_a_table_that_only_looks_empty_keeps_its_rows(manager, clerk, valid):
    frame = merchants(ROWS, start=ROWS)
    if not valid:
        frame = frame.with_columns(merchant_id=pl.lit("x" * 1000))

    report = load_df(frame, "merchants", session=clerk, on_invalid="reject")
    clerk.commit()

    assert report.inserted == (ROWS if valid else 0)
    assert count(manager) == ROWS + report.inserted


def test_a_table_that_is_not_seen_whole_is_not_locked(clerk):
    with pytest.raises(LoadError, match="have no row-level security"):
        load_df(merchants(1, start=ROWS), "merchants", session=clerk, rebuild_indexes="always")


@pytest.mark.parametrize("how", ["error", "skip", "update"])
def test_a_hidden_row_with_the_same_key_is_mentioned_as_a_possible_cause(clerk, how):
    row = {"merchant_id": "M0", "city": "Oslo"}

    with pytest.raises(LoadError, match="row-level security hides rows with the same keys"):
        load_df([row], "merchants", session=clerk, on_conflict=how)


def test_a_row_that_may_not_be_changed_is_not_reported_as_changed(manager, clerk):
    with manager.session_scope() as owner:
        owner.execute(text("UPDATE merchants SET country = 'NO' WHERE merchant_id IN ('M1', 'M2')"))
        owner.execute(text("UPDATE merchants SET city = 'Oslo' WHERE merchant_id = 'M1'"))

    def update(merchant):
        row = {"merchant_id": merchant, "name": "a"}
        return load_df([row], "merchants", session=clerk, on_conflict="update")

    assert update("M1").updated == 1
    with pytest.raises(LoadError, match="does not allow this user to update 1 of the rows"):
        update("M2")


def test_rows_that_a_policy_refuses_are_not_a_missing_grant(manager, clerk):
    with manager.session_scope() as owner:
        owner.execute(text("ALTER POLICY added ON merchants WITH CHECK (country = 'NO')"))

    with pytest.raises(
        LoadError, match=r"row-level security rejects the rows .* Ask the owner of the table"
    ):
        load_df(merchants(1, start=ROWS), "merchants", session=clerk)


def test_a_hidden_parent_is_not_reported_as_missing(manager, clerk):
    with manager.session_scope() as owner:
        owner.execute(text("INSERT INTO customers (customer_id) VALUES ('C1')"))
    frame = atomicity.transactions(1, merchant_id="M5")

    with pytest.raises(InvalidDataError, match="no row of 'merchants' that this user can see"):
        load_df(frame, "transactions", session=clerk)

    report = load_df(frame, "transactions", session=clerk, on_missing_parent="create")
    assert report.inserted == 1


# -- Parts of a table elsewhere ---------------------------------------------------------------


def test_a_table_with_children_is_not_built_anew(manager):
    do = "CREATE TABLE archived () INHERITS (merchants)"
    with arranged(manager, do, "DROP TABLE archived"):
        assert load_df(merchants(ROWS), "merchants", manager=manager).inserted == ROWS
        with manager.session_scope() as session:
            session.execute(text("INSERT INTO archived (merchant_id) VALUES ('old')"))
        with pytest.raises(LoadError, match="or partitions"):
            load_df(
                merchants(1, start=ROWS), "merchants", manager=manager, rebuild_indexes="always"
            )
        assert count(manager) == ROWS + 1


# -- Other tables of the name -----------------------------------------------------------------

SHADOWS = {
    "temporary": "CREATE TEMP TABLE merchants (LIKE public.merchants INCLUDING ALL)",
    "other schema": "CREATE SCHEMA other; CREATE TABLE other.merchants "
    "(LIKE public.merchants INCLUDING ALL); SET LOCAL search_path = other, public",
}


@pytest.mark.parametrize("shadow", list(SHADOWS))
@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("options", [{}, {"on_conflict": "update"}, {"rebuild_indexes": "always"}])
def test_another_table_of_the_name_takes_no_load(manager, session, shadow, rows, options):
    session.execute(text(SHADOWS[shadow]))

    load_df(merchants(rows), "merchants", session=session, **options)

    count_query = "SELECT count(*) FROM {}merchants"
    assert session.scalar(text(count_query.format("public."))) == rows
    assert session.scalar(text(count_query.format(""))) == 0


@pytest.mark.parametrize("shadow", list(SHADOWS))
def test_another_table_of_the_name_gives_no_parents(session, shadow):
    session.execute(text(SHADOWS[shadow]))
    session.execute(text("INSERT INTO merchants (merchant_id) VALUES ('M1')"))
    session.execute(text("INSERT INTO customers (customer_id) VALUES ('C1')"))

    with pytest.raises(InvalidDataError, match="does not exist in 'merchants'"):
        load_df(atomicity.transactions(1), "transactions", session=session)
    report = load_df(
        atomicity.transactions(1), "transactions", session=session, on_missing_parent="create"
    )

    assert report.inserted == 1
    assert session.scalar(text("SELECT count(*) FROM public.merchants")) == 1


@pytest.mark.parametrize("query", ["merchants", Merchant, select(Merchant), Merchant.__table__])
@pytest.mark.parametrize("shadow", list(SHADOWS))
def test_another_table_of_the_name_is_not_read(session, query, shadow):
    session.execute(text("INSERT INTO merchants (merchant_id) VALUES ('M1')"))
    session.execute(text(SHADOWS[shadow]))

    assert read_df(query, session=session)["merchant_id"].tolist() == ["M1"]
    assert read_df("SELECT * FROM merchants", session=session).empty  # as it is written


@pytest.mark.parametrize(
    "use",
    [
        lambda merchants: merchants.create(merchant_id="M2"),
        lambda merchants: merchants.get_by_id("M1"),
        lambda merchants: merchants.update("M1", city="Oslo"),
        lambda merchants: merchants.delete("M1"),
        lambda merchants: merchants.count(),
        lambda merchants: merchants.get_all(),
        lambda merchants: merchants.bulk_create([{"merchant_id": "M2"}]),
    ],
)
@pytest.mark.parametrize("shadow", list(SHADOWS))
def test_a_repository_refuses_a_session_in_which_its_table_is_another(session, use, shadow):
    session.execute(text(SHADOWS[shadow]))

    with pytest.raises(SchemaError, match=r"must be the table of schema 'public'; got .*merchants"):
        use(MerchantRepository(session))
