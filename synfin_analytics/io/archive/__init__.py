"""Archives and snapshots: folders of Parquet files with a manifest, written to survive a crash.

The public names are listed in ``__init__.pyi`` and imported on first use: the readers and loaders
below this package's functions use its modules, too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
