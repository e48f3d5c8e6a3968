"""Fraud analytics in a notebook: transactions in PostgreSQL, DataFrames in and out.

The public names are listed in ``__init__.pyi``, for people and type checkers alike. Each is
imported when it is first used, so that importing the package costs next to nothing.
"""

from typing import Any

import lazy_loader

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _public(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("synfin-analytics")
    except PackageNotFoundError:  # a checkout on sys.path
        return "0+unknown"


def load_ipython_extension(shell: Any) -> None:
    """Show DataFrames with sensible formats: what ``%load_ext synfin_analytics`` calls."""
    from synfin_analytics.io.display import load_formatter

    load_formatter(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Show them as pandas does, again: what ``%unload_ext synfin_analytics`` calls."""
    from synfin_analytics.io.display import unload_formatter

    unload_formatter(shell)
