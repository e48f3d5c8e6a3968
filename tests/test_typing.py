"""The types that a user's type checker sees; ``user_code`` has right and wrong calls."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

USER_CODE = Path(__file__).parent / "user_code"
OPTIONS = ["--strict", "--ignore-missing-imports", "--no-error-summary"]
#: Of the run before: mypy then reads only what has changed since.
CACHE = Path(__file__).parents[1] / ".mypy_cache" / "user_code"

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
    "synfin_analytics.metrics.grouped.GroupedEvaluation",
    "synfin_analytics.metrics.grouped.GroupedEvaluation",
    "pandas.core.frame.DataFrame",
    "polars.dataframe.frame.DataFrame",
]


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of the script and of the user code, in one run."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    shutil.copytree(USER_CODE, folder / "user_code")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, f"--cache-dir={CACHE}", "script.py", "user_code"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.stdout.splitlines()


def test_mypy_infers_what_evaluate_and_read_df_return(messages):
    script = "\n".join(line for line in messages if line.startswith("script.py"))
    assert re.findall(r'Revealed type is "([^"]+)"', script) == REVEALED
    assert '"Evaluation" has no attribute "reccall"' in script


def test_correct_calls_type_check_and_wrong_calls_do_not(messages):
    """A wrong call has a ``type: ignore``; one that is not needed is an error in strict mode."""
    assert [line for line in messages if not line.startswith("script.py")] == []
