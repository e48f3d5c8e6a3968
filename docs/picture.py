"""Draw the picture of the README from simulated payments: `make picture`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import matplotlib as mpl

from synfin_analytics import fraud_rate, plot_fraud_rate, simulate

TARGET = Path(__file__).parent / "images" / "fraud_rate.png"


def draw(target: Path) -> None:
    """Draw fraud rates by category and over time, side by side, into a PNG file."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    start = dt.date(2024, 12, 30)  # a Monday, so that all weeks are whole
    payments = simulate(customers=600, days=126, seed=7, start=start).transactions
    figure = plt.figure(figsize=(11, 3.6), layout="constrained")
    by_category, over_time = figure.subfigures(1, 2)
    plot_fraud_rate(fraud_rate(payments, by="merchant_category"), ax=by_category.subplots())
    plot_fraud_rate(fraud_rate(payments, every="1w"), ax=over_time.subplots())
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(TARGET)
