"""Readers of files whose columns have names of their own: public data sets, and yours.

:func:`read_layout` turns a file or a frame into our three tables by a :class:`Layout`, which says
what stands where; :func:`list_layouts` lists the layouts that are known already.
"""

from synfin_analytics.io.layouts._read_layout import Tables, detect_layout, read_layout
from synfin_analytics.io.layouts.known import list_layouts
from synfin_analytics.io.layouts.layout import Layout

__all__ = ["Layout", "Tables", "detect_layout", "list_layouts", "read_layout"]
