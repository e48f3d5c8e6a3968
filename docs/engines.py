"""Measure what functions collect, and write the table of docs/reference/engines.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TEST = Path(__file__).parents[1] / "tests" / "test_engines.py"


def main() -> None:
    """Run the tests that measure, and let them write what they measure."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", str(TEST)]
    sys.exit(
        subprocess.run(command, check=False, env={**os.environ, "WRITE_TABLES": "1"}).returncode
    )


if __name__ == "__main__":
    main()
