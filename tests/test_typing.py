"""The types that a user's type checker sees."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import pandas as pd
from synfin_analytics import evaluate, read_df

frame = pd.DataFrame()
reveal_type(evaluate(frame))
reveal_type(evaluate(frame, by="channel"))
reveal_type(evaluate(frame, by=["channel", "city"]))
reveal_type(read_df("transactions"))
reveal_type(read_df("transactions", output="polars"))
evaluate(frame).reccall
"""
REVEALED = [
    "synfin_analytics.metrics.evaluation.Evaluation",
    "synfin_analytics.metrics.evaluation.GroupedEvaluation",
    "synfin_analytics.metrics.evaluation.GroupedEvaluation",
    "pandas.core.frame.DataFrame",
    "polars.dataframe.frame.DataFrame",
]


def test_mypy_knows_what_evaluate_and_read_df_return(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    options = ["--strict", "--ignore-missing-imports", "--no-error-summary"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r'Revealed type is "([^"]+)"', checked.stdout)
    assert found == REVEALED
    assert '"Evaluation" has no attribute "reccall"' in checked.stdout
