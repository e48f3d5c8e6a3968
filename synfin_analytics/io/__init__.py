"""DataFrames in and out of PostgreSQL: files, public data sets, loading, reading, display.

The public names are listed in ``__init__.pyi`` and imported on first use, so that importing one
module of this package does not import the others.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
