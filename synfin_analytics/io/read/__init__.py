"""PostgreSQL to DataFrame: :func:`read_df` and :func:`read_batches`."""

from synfin_analytics.io.read._read_df import Batches, read_batches, read_df

__all__ = ["Batches", "read_batches", "read_df"]
