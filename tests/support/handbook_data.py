"""Where the transactions of the Fraud Detection Handbook are, for tests on real input."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ.get("SYNFIN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = FOLDER / "handbook" / "transactions.parquet"
