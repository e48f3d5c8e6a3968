"""The package of input and output: its names, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import synfin_analytics
from synfin_analytics import io


def test_every_name_of_the_stub_exists():
    assert "load_df" in io.__all__
    for name in io.__all__:
        assert getattr(io, name).__module__.startswith("synfin_analytics.io.")


def test_the_package_exports_what_the_top_level_exports():
    for name in (
        "load_df",
        "LoadReport",
        "read_df",
        "read_batches",
        "read_layout",
        "Layout",
        "show",
    ):
        assert getattr(synfin_analytics, name) is getattr(io, name)


def test_importing_one_module_imports_no_other():
    code = (
        "import sys, synfin_analytics.io; "
        "heavy = {'pandas', 'polars', 'pyarrow', 'sqlalchemy', 'narwhals'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert not {name for name in sys.modules if name.startswith('synfin_analytics.io.load')}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
