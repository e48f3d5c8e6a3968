"""Rows that workers keep for a while, and no longer."""

from __future__ import annotations

import time

import dask
import dask.dataframe as dd
import pandas as pd
from dask.distributed import Client

from synfin_analytics._core.distributed import open_distributed


def test_a_cluster_of_dask_keeps_rows_until_the_end_of_the_context(tmp_path):
    df = dd.from_pandas(pd.DataFrame({"amount": [1.5, 2.5, 3.5]}), npartitions=3, sort=False)
    with (
        Client(processes=False, n_workers=1, dashboard_address=None, local_directory=str(tmp_path))
        as client,
        dask.config.set(scheduler=None),
    ):  # fmt: skip
        with open_distributed(df, "fit_baseline").persisted() as rows:
            assert rows.sum()["amount"].to_pylist() == [7.5]
            assert len(client.futures) >= 3  # of the rows, and for a moment of the sum
        deadline = time.monotonic() + 20
        while client.futures and time.monotonic() < deadline:
            time.sleep(0.05)  # its thread releases them
        assert client.futures == {}
        assert rows is not None  # the frame itself still exists
