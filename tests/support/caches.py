"""Servers of caches for tests, on free ports."""

from __future__ import annotations

import contextlib
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "c@che"


@dataclass
class CacheServer:
    """A Redis or memcached that a test may stop."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.wait()

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return int(self.url.rpartition(":")[2].partition("/")[0])


@contextlib.contextmanager
def redis_server(port: int | None = None) -> Iterator[CacheServer]:
    """Run a Redis that requires a password."""
    port = port or free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--requirepass", PASSWORD, "--dir", "/"]  # fmt: skip
    with _run("redis-server", options, port) as process:
        yield CacheServer(f"redis://:{PASSWORD.replace('@', '%40')}@127.0.0.1:{port}/0", process)


@contextlib.contextmanager
def memcached_server() -> Iterator[CacheServer]:
    """Run a memcached."""
    port = free_port()
    options = ["-l", "127.0.0.1", "-p", str(port), "-u", pwd.getpwuid(65534).pw_name]
    with _run("memcached", options, port) as process:
        yield CacheServer(f"memcached://127.0.0.1:{port}", process)


@contextlib.contextmanager
def _run(program: str, options: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed: apt-get install {program}")
    process = subprocess.Popen(
        [path, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"{program} does not answer")
        yield process
    finally:
        process.kill()
        process.wait()
