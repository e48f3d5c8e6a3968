"""What stands at the top of a checkout, and travels inside the wheel: migrations and notebooks."""

from __future__ import annotations

from pathlib import Path

from synfin_analytics.exceptions import SynfinError

_PACKAGE = Path(__file__).parents[1]


def shipped(folder: str, error: type[SynfinError] = SynfinError) -> Path:
    """Find such a folder: in the wheel, else beside the package in a checkout.

    Raises
    ------
    SynfinError
        Of the class ``error``: it is in neither place.

    Examples
    --------
    >>> (shipped("notebooks") / "01_first_steps.ipynb").is_file()
    True
    """
    for found in (_PACKAGE / f"_{folder}", _PACKAGE.parent / folder):
        if found.is_dir():
            return found
    raise error(
        f"The {folder} are missing from {_PACKAGE}: the installation is incomplete. "
        "Install it again: pip install --force-reinstall synfin-analytics"
    )
