"""Readers of files whose columns have names of their own: public data sets, and yours.

:func:`read_layout` turns a file or a frame into our three tables by a :class:`Layout`, which says
what stands where; :func:`names` lists the layouts that are known already.
"""

from synfin_analytics.io.layouts._read_layout import Tables, read_layout, recognise
from synfin_analytics.io.layouts.known import names
from synfin_analytics.io.layouts.layout import Layout

__all__ = ["Layout", "Tables", "names", "read_layout", "recognise"]
