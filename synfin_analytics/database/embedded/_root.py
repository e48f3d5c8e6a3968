"""What the embedded server needs outside its data directory when root runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from synfin_analytics.database.embedded._binaries import readable_binaries, server_binaries
from synfin_analytics.database.embedded._owner import program_copies, server_user

if TYPE_CHECKING:
    from pathlib import Path


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
