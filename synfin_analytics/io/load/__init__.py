"""DataFrame to PostgreSQL: :func:`load_df` and its report."""

from synfin_analytics.io.load._load_df import load_df
from synfin_analytics.io.load.options import LoadOptions
from synfin_analytics.io.load.report import LabelCounts, LoadReport

__all__ = ["LabelCounts", "LoadOptions", "LoadReport", "load_df"]
