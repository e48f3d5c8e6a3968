"""The faults of the campaign: what happens to the client, the server, the link or the disk."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import psutil
import psycopg2
from servers import wait_until

if TYPE_CHECKING:
    import random
    import subprocess
    from collections.abc import Callable

    from servers import TcpServer
    from small_disks import SmallDisk, SmallFiles

#: Name of the worker's connections on the server.
WORKER = "faults_worker"
_WORKERS = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{WORKER}'"
_PATIENCE = 60.0  # seconds


class Link:
    """A network between the worker and the server that can be cut or stalled."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: list[socket.socket] = []
        self._loses_next_answer = False
        #: What happens to the client's next COMMIT: it, or the answer to it, is lost.
        self._at_commit = ""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections; new ones can be made."""
        sockets, self._sockets = self._sockets, []
        for connection in sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def cut_at_next_answer(self) -> None:
        """Cut all connections in place of the server's next message."""
        self._loses_next_answer = True

    def cut_at_commit(self, lost: Literal["commit", "answer"]) -> None:
        """Cut all connections in place of the client's next COMMIT, or of the answer to it."""
        self._at_commit = lost

    def stall(self) -> None:
        """Forward nothing more, in either direction."""
        self._flows.clear()

    def resume(self) -> None:
        """Forward everything again."""
        self._loses_next_answer = False
        self._at_commit = ""
        self._flows.set()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for source, target, answers in ((client, server, False), (server, client, True)):
                arguments = (source, target, answers)
                threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError), contextlib.closing(source):
            while data := source.recv(1 << 16):
                self._flows.wait()
                if answers and self._loses_next_answer:
                    self._loses_next_answer = False
                    self.cut()
                    return
                if self._at_commit and not answers and b"COMMIT\0" in data:
                    lost, self._at_commit = self._at_commit, ""
                    if lost == "commit":
                        self.cut()
                        return
                    self._loses_next_answer = True
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@dataclass
class Scene:
    """What a fault can strike."""

    server: TcpServer
    disk: SmallDisk | SmallFiles
    link: Link
    generator: random.Random
    #: The process that does the work; the campaign replaces it if it is killed.
    worker: subprocess.Popen[str] | None = None

    @property
    def worker_pid(self) -> int:
        """Id of the worker's process."""
        if self.worker is None:
            raise RuntimeError("the campaign has not started a worker yet")
        return self.worker.pid

    def limit_files(self, size: int) -> None:
        """Limit the size of the files that the worker writes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.worker_pid)
            _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))

    def execute(self, statement: str) -> list[Any]:
        """Run a statement on a connection that is not the worker's."""
        with self.server.connect("postgres") as cursor:
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()]

    def backends(self) -> list[int]:
        """Server processes of the worker."""
        return self.execute(_WORKERS)


def kill_client(scene: Scene) -> None:
    """Kill the process of the client."""
    os.kill(scene.worker_pid, signal.SIGKILL)


def interrupt_client(scene: Scene) -> None:
    """Interrupt the client, as Ctrl-C does."""
    os.kill(scene.worker_pid, signal.SIGINT)


def terminate_backend(scene: Scene) -> None:
    """End the client's session, as an administrator does."""
    scene.execute(f"SELECT pg_terminate_backend(pid) FROM ({_WORKERS}) w")


def cancel_statement(scene: Scene) -> None:
    """Cancel the client's statement, as an administrator does."""
    scene.execute(f"SELECT pg_cancel_backend(pid) FROM ({_WORKERS}) w")


def kill_backend(scene: Scene) -> None:
    """Kill the server's process of the client: the server ends all sessions and recovers."""
    backends = scene.backends()
    if backends:
        with contextlib.suppress(ProcessLookupError):
            os.kill(scene.generator.choice(backends), signal.SIGKILL)


def kill_server(scene: Scene) -> None:
    """Kill the server's main process, and start the server again."""
    _end_server(scene, signal.SIGKILL)


def stop_server(scene: Scene) -> None:
    """Stop the server at once, without a checkpoint, and start it again."""
    _end_server(scene, signal.SIGQUIT)


def _end_server(scene: Scene, how: signal.Signals) -> None:
    process = scene.server.process
    if process is None:
        raise RuntimeError("the campaign has not started the server")
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    process.wait(timeout=_PATIENCE)
    psutil.wait_procs(family, timeout=_PATIENCE)
    time.sleep(scene.generator.choice([0, 0.1]))
    scene.server.start()


def cut_link(scene: Scene) -> None:
    """Cut the connections between client and server."""
    scene.link.cut()


def lose_answer(scene: Scene) -> None:
    """Cut the connections when the server answers next, perhaps to a COMMIT."""
    scene.link.cut_at_next_answer()


def lose_commit(scene: Scene) -> None:
    """Cut the connections in place of the client's COMMIT."""
    scene.link.cut_at_commit("commit")


def lose_answer_to_commit(scene: Scene) -> None:
    """Cut the connections in place of the answer to the client's COMMIT."""
    scene.link.cut_at_commit("answer")


def stall_link(scene: Scene) -> None:
    """Stall the connections for a moment, then go on, cut them, or interrupt the client."""
    scene.link.stall()
    time.sleep(scene.generator.uniform(0.05, 0.4))
    end = scene.generator.choice([None, scene.link.cut, lambda: interrupt_client(scene)])
    if end is not None:
        end()
        time.sleep(0.1)
    scene.link.resume()


def fill_disk(scene: Scene) -> None:
    """Fill the server's disk but for a few kilobytes."""
    scene.disk.shrink(scene.generator.choice([0, 0.03, 0.1, 0.5]))


def fill_disk_of_client(scene: Scene) -> None:
    """Let no file of the client grow beyond a few kilobytes, as on a full disk or with a quota."""
    size = scene.generator.choice([0, 4096, 65536])
    scene.limit_files(size)


FAULTS: dict[str, Callable[[Scene], None]] = {
    "SIGKILL of the client": kill_client,
    "interrupt (Ctrl-C)": interrupt_client,
    "statement cancelled": cancel_statement,
    "session terminated": terminate_backend,
    "SIGKILL of the backend": kill_backend,
    "SIGKILL of the server": kill_server,
    "immediate shutdown": stop_server,
    "link cut": cut_link,
    "answer lost": lose_answer,
    "COMMIT lost": lose_commit,
    "answer to COMMIT lost": lose_answer_to_commit,
    "link stalled": stall_link,
    "disk of the server full": fill_disk,
    "disk of the client full": fill_disk_of_client,
}


def recover(scene: Scene) -> None:
    """Give the server its disk and its link back, and wait until it has ended all work."""
    scene.link.resume()
    if scene.disk.is_full:
        scene.disk.widen()
    if scene.worker is not None:
        scene.limit_files(psutil.RLIM_INFINITY)

    def answers() -> bool:
        process = scene.server.process
        if process is not None and process.poll() is not None:
            scene.server.start()
        is_killed = scene.worker is None or scene.worker.poll() is not None
        working = "" if is_killed else " AND state <> 'idle'"
        with contextlib.suppress(psycopg2.OperationalError):
            return not scene.execute(_WORKERS + working)
        return False

    wait_until(answers, "the server has recovered")
