"""Simulated card payments: customers, merchants, and transactions with labelled fraud.

:func:`simulate` creates them from a seed. ``PATTERNS`` and ``ANOMALIES`` have the fraud patterns
and the anomalies by name; their classes hold the parameters.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
