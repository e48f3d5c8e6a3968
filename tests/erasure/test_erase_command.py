"""``synfin db erase-customer`` and ``synfin db pseudonymise-customer``."""

from __future__ import annotations

import polars as pl
import pytest
from click.testing import CliRunner

from synfin_analytics import load_df, read_df
from synfin_analytics.cli import main


@pytest.fixture(autouse=True)
def _customers(manager):
    load_df(pl.DataFrame({"customer_id": ["C1", "C2", "C3"]}), "customers")


def synfin(*arguments, answer=None, **environment):
    return CliRunner().invoke(main, list(arguments), input=answer, env=environment)


def customers():
    return read_df("SELECT customer_id FROM customers ORDER BY 1")["customer_id"].tolist()


def test_erase_prints_counts_and_what_is_not_reached():
    result = synfin("db", "erase-customer", "C1", "C2", "--vacuum")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Erased 2 customers: 2 rows of customers deleted.")
    assert "Backups" in result.stdout
    assert customers() == ["C3"]


def test_ids_are_read_from_standard_input():
    assert synfin("db", "erase-customer", "-", answer="C1\nC3\n").exit_code == 0
    assert customers() == ["C2"]


def test_a_dry_run_changes_nothing():
    result = synfin("db", "erase-customer", "--dry-run", "C1")
    assert result.stdout.startswith("Would be erased: 1 customer: 1 row of customers deleted.")
    assert customers() == ["C1", "C2", "C3"]


def test_nobody_is_one_sentence():
    result = synfin("db", "erase-customer", "C99")
    assert result.exit_code == 1
    assert result.stderr == "Error: No row belongs to this customer. Nothing was changed.\n"


def test_pseudonymise_needs_the_key_of_the_environment():
    result = synfin("db", "pseudonymise-customer", "C1", SYNFIN_PSEUDONYM_KEY=None)
    assert "SYNFIN_PSEUDONYM_KEY must be set" in result.stderr
    result = synfin("db", "pseudonymise-customer", "C1", SYNFIN_PSEUDONYM_KEY="k" * 32)
    assert result.stdout.startswith("Pseudonymised 1 customer: 1 row of customers updated.")
    assert customers()[-1].startswith("ps-")
