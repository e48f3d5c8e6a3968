"""Servers with little room: a small disk, or a limit to the size of their files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers import TcpServer


class SmallDisk:
    """The server's data on a small disk of their own."""

    #: A segment of the server's log has 16 MB: where it cannot get one, it crashes.
    less_than_a_log = 12

    def __init__(self, server: TcpServer) -> None:
        initial = server.data.rename(server.folder / "initial")
        server.data.mkdir(mode=0o700)
        self.folder = server.data
        self.is_full = False
        self.ballast = server.data / "ballast"
        mount = ["mount", "-t", "tmpfs", "-o", "size=192m,mode=0700", "tmpfs", str(server.data)]
        try:
            subprocess.run(mount, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            server.data.rmdir()
            initial.rename(server.data)
            raise
        shutil.copytree(initial, server.data, dirs_exist_ok=True)
        for path in [server.data, *server.data.rglob("*")]:
            server.user.take(path)
        shutil.rmtree(initial)

    def shrink(self, megabytes: float) -> None:
        """Leave so much room."""
        self.is_full = True
        with self.ballast.open("wb") as file:
            for _ in range(100):
                excess = shutil.disk_usage(self.folder).free - int(megabytes * 2**20)
                # The server writes meanwhile: what was free a moment ago may not be any more.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, max(excess, 1))
                    return
        raise AssertionError("the disk could not be filled")

    def widen(self) -> None:
        self.ballast.unlink()
        self.is_full = False

    def remove(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


class SmallFiles:
    """A limit to the size of each file of the server, which any user can set."""

    #: Its log is written in files of a size below the limit, and not affected.
    less_than_a_log = 2

    def __init__(self, server: TcpServer) -> None:
        self.server = server
        self.is_full = False

    def shrink(self, megabytes: float) -> None:
        # A segment of the server's log has 16 MB.
        self._restart(int((16 + megabytes) * 2**20))
        self.is_full = True

    def widen(self) -> None:
        self._restart(resource.RLIM_INFINITY)
        self.is_full = False

    def remove(self) -> None:
        """Nothing is left of it."""

    def _restart(self, size: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # the server inherits it
        try:
            self.server.restart()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def small_disk_or_files(server: TcpServer) -> SmallDisk | SmallFiles:
    """A small disk, if this user may mount one."""
    try:
        return SmallDisk(server)
    except (OSError, subprocess.CalledProcessError):
        return SmallFiles(server)
