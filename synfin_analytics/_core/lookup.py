"""What is looked up at run time: functions of higher floors, optional packages, folders.

A lower floor that imported a higher one inside a function would only hide the cycle, and a registry
that the higher floor fills would be empty until that floor is imported. So these few functions are
looked up by name, here and nowhere else.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synfin_analytics.exceptions import MissingDependencyError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from synfin_analytics.plots.explorer.widget import Explorer


def plot_function(name: str) -> Callable[..., Any]:
    """Return a function of :mod:`synfin_analytics.plots`, such as ``"plot_roc"``.

    Plots depend on results and never the reverse. A function is therefore looked up when a plot is
    drawn, which also keeps matplotlib unimported until then.

    Parameters
    ----------
    name
        Name of the function.
    """
    function: Callable[..., Any] = getattr(import_module("synfin_analytics.plots"), name)
    return function


def explore(evaluation: object, **options: Any) -> Explorer:
    """Return the widget of an evaluation, of :mod:`synfin_analytics.plots.explorer`.

    Parameters
    ----------
    evaluation
        What to explore.
    options
        Arguments of the widget.
    """
    explorer: Explorer = import_module("synfin_analytics.plots.explorer").explore(
        evaluation, **options
    )
    return explorer


def evaluate(y_true: object, y_score: object, **options: Any) -> Any:
    """Evaluate scores with :func:`synfin_analytics.evaluate`, to draw the result.

    Parameters
    ----------
    y_true, y_score
        Labels and scores.
    options
        Further arguments of the function.
    """
    return import_module("synfin_analytics.metrics").evaluate(y_true, y_score, **options)


def dataframe_function(name: Literal["load_df", "read_df"]) -> Callable[..., Any]:
    """Return ``load_df`` or ``read_df``, for methods of the manager.

    ``io`` opens sessions of the manager, so the manager must not import ``io``.

    Parameters
    ----------
    name
        Name of the function.

    Returns
    -------
    function
        ``synfin_analytics.load_df`` or ``synfin_analytics.read_df``.

    Examples
    --------
    >>> dataframe_function("read_df")("SELECT 1 AS n")["n"].tolist()
    [1]
    """
    package = {"load_df": "synfin_analytics.io.load", "read_df": "synfin_analytics.io.read"}[name]
    function: Callable[..., Any] = getattr(import_module(package), name)
    return function


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


_PACKAGE = Path(__file__).parents[1]


def resource_folder(name: str, error: type[SynfinError] = SynfinError) -> Path:
    """Return a folder of resources: of the installed package, else of the checkout.

    Raises
    ------
    SynfinError
        Of the class ``error``: the folder is in neither place.

    Examples
    --------
    >>> (resource_folder("notebooks") / "01_first_steps.ipynb").is_file()
    True
    """
    for folder in (_PACKAGE / f"_{name}", _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise error(
        f"The {name} are missing from {_PACKAGE}: the installation is incomplete. "
        "Reinstall the package: pip install --force-reinstall synfin-analytics"
    )
