"""benchmarks/indexes.py: each call uses the index made for it, and is timed with and without."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "indexes.py"


def test_each_call_is_timed_with_the_index_that_it_uses_and_without():
    options = ["--rows", "10000", "--rounds", "1", "--least", "0.001"]
    result = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    # On few rows, the processor time may be 0, and the ratio no number.
    rows = re.findall(
        r"^\| `(\w+)\(.*?` +\| +([0-9,]+) +\| (\w+) +\| +[0-9.]+ +\| +[0-9.]+ +\| \S+ \(",
        result.stdout,
        re.MULTILINE,
    )
    assert [(name, index.removeprefix("ix_transactions_")) for name, _, index in rows] == [
        ("list", "amount"),
        ("get_high_value_transactions", "amount"),
        *[("get_fraud_transactions", "timestamp_fraud")] * 3,
        *[("get_anomaly_transactions", "timestamp_anomaly")] * 3,
    ]
    assert all(int(n_rows) > 0 for _, n_rows, _ in rows)
