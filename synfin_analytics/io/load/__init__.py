"""DataFrame to PostgreSQL: :func:`load_df` and its report."""

from synfin_analytics.io.load._load_df import load_df
from synfin_analytics.io.load.report import LoadReport

__all__ = ["LoadReport", "load_df"]
