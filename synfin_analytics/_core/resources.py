"""Find the migrations and notebooks: at the top of a checkout, and inside the installed package."""

from __future__ import annotations

from pathlib import Path

from synfin_analytics.exceptions import SynfinError

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
