"""The chain ladder of the package chainladder on triangles: run by nowcast.py.

In an environment of its own: it brings numba, and warns under pandas 3. It knows months but no
weeks; a week is a month here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import chainladder as cl
import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.9


def to_triangle(known: list[list[int]]) -> Any:
    """Return a triangle of cohorts by age; cells below the diagonal are unknown."""
    months = pd.period_range("2000-01", periods=2 * len(known), freq="M").to_timestamp()
    cells = [
        {"origin": months[cohort], "development": months[cohort + age], "frauds": float(count)}
        for cohort, row in enumerate(known)
        for age, count in enumerate(row[: len(known) - cohort])
    ]
    return cl.Triangle(
        pd.DataFrame(cells),
        origin="origin",
        development="development",
        columns="frauds",
        cumulative=False,
    ).incr_to_cum()


def predict(known: list[list[int]]) -> dict[str, list[list[float]]]:
    """Return the estimate, the lower and the upper end of each cohort, by method."""
    triangle = to_triangle(known)
    latest = np.array([sum(row[: len(known) - cohort]) for cohort, row in enumerate(known)])
    ends = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    summary = cl.MackChainladder().fit(triangle).summary_.to_frame()
    estimate, error = (
        np.nan_to_num(summary[name].to_numpy(dtype=np.float64))
        for name in ("Ultimate", "Mack Std Err")
    )
    # Mack's interval is that of a lognormal distribution of the final number.
    positive = np.maximum(estimate, 1e-9)
    spread = np.sqrt(np.log1p((error / positive) ** 2))
    low, high = (positive * np.exp(stats.norm.ppf(end) * spread - spread**2 / 2) for end in ends)
    results = {"Mack": (estimate, np.maximum(low, latest), np.maximum(high, latest))}
    sampled = cl.BootstrapODPSample(n_sims=1000, random_state=0).fit_transform(triangle)
    to_come = np.nan_to_num(cl.Chainladder().fit(sampled).ibnr_.values[:, 0, :, 0])
    low, high = np.quantile(to_come, ends, axis=0)
    results["bootstrap"] = (latest + to_come.mean(axis=0), latest + low, latest + high)
    return {name: [part.tolist() for part in parts] for name, parts in results.items()}


def main() -> None:
    """Read triangles from a file, and print predictions as JSON."""
    triangles = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps([predict(known) for known in triangles]))


if __name__ == "__main__":
    main()
