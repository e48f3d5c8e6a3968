"""Import optional dependencies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from synfin_analytics.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from types import ModuleType


def import_optional(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module that comes with an extra of this package.

    Parameters
    ----------
    name
        Name of the module.
    extra
        Extra that installs it, such as "notebooks".
    purpose
        What needs it, as the subject of a sentence.

    Raises
    ------
    MissingDependencyError
        It is not installed; the message contains the command that installs it.

    Examples
    --------
    >>> import_optional("no_such_module", extra="notebooks", purpose="Grading notebooks")
    Traceback (most recent call last):
    synfin_analytics.exceptions.MissingDependencyError: Grading notebooks requires the package \
'no_such_module', which is not installed. Install it with: pip install "synfin-analytics[notebooks]"
    """
    try:
        return import_module(name)
    except ImportError:
        raise MissingDependencyError(name.partition(".")[0], extra, purpose) from None
