"""Readers of files with columns of their own: public data sets, and those of users.

:func:`read_layout` turns a file or a frame into customers, merchants and transactions. A
:class:`Layout` maps columns of the file to columns of these tables; :func:`list_layouts` lists the
layouts of public data sets. :func:`suggest_columns` says what the columns of a file may be.
"""

from synfin_analytics.io.layouts._read_layout import Tables, detect_layout, read_layout
from synfin_analytics.io.layouts.known import get_layout, list_layouts
from synfin_analytics.io.layouts.layout import Layout
from synfin_analytics.io.layouts.suggest import suggest_columns
from synfin_analytics.io.layouts.suggestions import ColumnSuggestions, SuggestedColumn

__all__ = [
    "ColumnSuggestions",
    "Layout",
    "SuggestedColumn",
    "Tables",
    "detect_layout",
    "get_layout",
    "list_layouts",
    "read_layout",
    "suggest_columns",
]
