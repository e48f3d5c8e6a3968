"""docs/guide/patterns.md tells what detectors there are, and how its figures are counted."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib
import re
from pathlib import Path

import polars as pl
import pytest

from synfin_analytics._core.formatting import format_duration
from synfin_analytics.detection import ANOMALY_DETECTORS, FRAUD_DETECTORS
from synfin_analytics.io.load import load_df
from synfin_analytics.repositories import FraudPatternRepository
from synfin_analytics.simulation import simulate

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guide" / "patterns.md").read_text(encoding="utf-8")


def as_documented(value: object) -> str:
    if isinstance(value, dt.timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ", ".join(f"{limit:g}" for limit in value)
    return f"{value:g}"


@pytest.mark.parametrize(
    "detector",
    [*FRAUD_DETECTORS.values(), *ANOMALY_DETECTORS.values()],
    ids=lambda field: field.name,
)
def test_its_thresholds_are_documented(detector):
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{detector.name}`")]
    documented = row.rstrip(" |").rpartition("| ")[2]
    fields = dataclasses.fields(detector)
    assert documented == ", ".join(
        f"`{field.name}` {as_documented(field.default)}" for field in fields
    )


def test_the_code_runs(manager, session):
    world = simulate(120, 50, 60, 4, fraud_rate=0.02, output="polars")
    for name, frame in world._asdict().items():
        load_df(frame, name)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    space: dict = {}
    exec(compile(code, "patterns.md", "exec"), space)
    assert FraudPatternRepository(session).count() == len(space["patterns"]) > 0


# -- How the figures are counted -------------------------------------------------------------------


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("measured", ROOT / "benchmarks" / "patterns.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def labelled(*rows: tuple) -> pl.DataFrame:
    """Transactions by customer, merchant, day and label."""
    return pl.DataFrame(
        [
            {
                "transaction_id": f"T{n}",
                "customer_id": customer,
                "merchant_id": merchant,
                "timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day),
                "is_fraud": label is not None,
                "fraud_type": label,
                "fraud_reason": "charged there again",
            }
            for n, (customer, merchant, day, label) in enumerate(rows)
        ]
    )


def links(*pairs: tuple[int, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pattern": [pattern for pattern, _ in pairs],
            "pattern_type": "night_spree",
            "transaction_id": [transaction for _, transaction in pairs],
        }
    )


def test_transactions_and_episodes_are_counted(benchmark):
    rows = labelled(
        ("C1", "M1", 0, "night_spree"),
        ("C1", "M2", 1, "night_spree"),
        ("C1", "M1", 40, "night_spree"),  # another episode
        ("C2", "M1", 1, "night_spree"),
        ("C2", "M1", 2, None),
        ("C3", "M1", 2, "card_testing"),
    )
    matches = links((0, "T0"), (1, "T2"), (1, "T4"), (1, "T5"), (2, "T5"))
    assert benchmark.count_matches(rows, matches, "night_spree", "fraud_type") == benchmark.Counts(
        n_found=4, n_right=2, n_fraud=3, n_true=4, n_true_found=2,
        n_patterns=3, n_patterns_right=1, n_episodes=3, n_episodes_found=2,
    )  # fmt: skip


def test_a_ring_is_all_that_hangs_together(benchmark):
    rows = labelled(
        *(
            (f"C{customer}", f"S{shop}", 0, "collusion_ring")
            for customer, shop in [(1, 1), (1, 2), (2, 2)]
        ),
        ("C3", "S3", 0, "collusion_ring"),
    )
    rings = benchmark.true_episodes(rows, "collusion_ring")
    assert rings.n_unique() == 2
    assert rings[:3].n_unique() == 1


def test_a_world_is_measured_at_any_fraud_rate(benchmark):
    rare = benchmark.measure_world((150, 60, 60, 3), 0.0)
    assert (
        sum(
            counts.n_fraud + counts.n_true
            for kind, counts in rare.counts.items()
            if kind in FRAUD_DETECTORS
        )
        == 0
    )
    measured = benchmark.measure_world((150, 60, 60, 3))
    assert set(measured.counts) == {*FRAUD_DETECTORS, *ANOMALY_DETECTORS}
    assert measured.confidences["right"].mean() > 0.5
    assert all(
        len(benchmark.table_row(kind, counts)) == 10 for kind, counts in measured.counts.items()
    )
