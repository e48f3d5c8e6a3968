"""Isolate a submitted notebook: Linux namespaces, and a process that supervises the worker.

The runner starts ``python -m synfin_analytics.course._sandbox TASK`` with an environment that
contains nothing of the teacher's. This supervisor starts the worker, in separate namespaces where
the system supports them, and ends everything that the worker started. It ends as well when its
standard input is closed, because the grading process has ended.

Every measure may be called on any system; if the system does not support it, it returns False and
changes nothing. The teaching guide describes what each measure contains.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import select
import signal
import site
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LINUX = sys.platform == "linux"
#: Variables that other processes inherit: no address, user or password of a database.
_INHERITED_VARIABLES = (
    "PATH", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "JAVA_HOME",
)  # fmt: skip

# Constants of the kernel's interface, the same on every architecture: <linux/sched.h>,
# <linux/mount.h>, <linux/prctl.h>, <linux/capability.h>.
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PIDS = 0x00020000, 0x08000000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1
_SET_DUMPABLE, _GET_DUMPABLE, _DROP_BOUND, _SUBREAPER, _NO_NEW_PRIVILEGES = 4, 3, 24, 36, 38
#: Capabilities that the embedded server needs if root runs the notebook: chown, dac_override,
#: fowner, kill, setgid, setuid.
_KEPT_CAPABILITIES = {0, 1, 3, 5, 6, 7}
_LAST_CAPABILITY = 63
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a system folder, replaced by an empty one
#: Seconds between two polls.
_POLL_SECONDS = 0.1
#: Seconds that the embedded server has to shut down.
_GRACE_SECONDS = 3.0
#: Maximum attempts to end the remaining processes.
_MAX_ATTEMPTS = 100


class _Attributes(ctypes.Structure):
    """``struct mount_attr``."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def _system_call(name: str, *arguments: object) -> None:
    """Call a function of the C library.

    Raises
    ------
    OSError
        The call failed.
    """
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _prctl(option: int, value: int) -> None:
    _system_call("prctl", option, *(ctypes.c_ulong(argument) for argument in (value, 0, 0, 0)))


def clean_environment() -> dict[str, str]:
    """Return the variables of this environment that another process needs, and no secrets."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED_VARIABLES or name.startswith("LC_")
    }
    if site.ENABLE_USER_SITE:
        variables["PYTHONUSERBASE"] = site.getuserbase()
    return variables


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant whose own parent ends.

    A daemon, or a process in another session, then remains below this process.
    """
    if LINUX:
        _prctl(_SUBREAPER, 1)
    return LINUX


# -- Namespaces ------------------------------------------------------------------------------------


def namespaces_available(writable: Sequence[Path]) -> bool:
    """Try the namespaces in a short-lived child process."""
    if not LINUX:
        return False

    def create() -> int:
        create_namespaces()
        return _exit_code(_fork(seal))

    def seal() -> int:
        seal_file_system(writable)
        return 0

    return _exit_code(_fork(create)) == 0


def create_namespaces() -> None:
    """Create namespaces, of which the next child is the first process.

    Root needs no user namespace, in which it would lose the user of the embedded server.

    Raises
    ------
    OSError
        The system does not allow it.
    """
    flags = _NEW_PIDS | _NEW_MOUNTS | _NEW_IPC
    user, group = os.geteuid(), os.getegid()
    _system_call("unshare", flags if user == 0 else flags | _NEW_USER)
    if user != 0:
        for file, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", file).write_text(line, encoding="ascii")


def seal_file_system(writable: Sequence[Path], first_pid: int = 0) -> None:
    """Make the file system read-only except for some folders, and hide the processes outside.

    Call it in the first process of the namespaces, and reopen folders that are already open, such
    as the working folder.

    Raises
    ------
    OSError
        The system does not allow it.
    """
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    for folder in writable:
        _mount(folder, folder, None, _BIND | _RECURSIVE)
    with contextlib.suppress(OSError):  # before Linux 5.12 files stay writable
        _attributes("/", _Attributes(set=_READ_ONLY))
        for folder in writable:
            _attributes(folder, _Attributes(clear=_READ_ONLY))
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", _SHARED_MEMORY, "tmpfs", _NOSUID | _NODEV, "mode=1777")
    if first_pid:
        _LAST_PID.write_text(str(first_pid), encoding="ascii")


def find_free_pids(used: Sequence[int]) -> int:
    """Return the start of the largest gap between process ids.

    The processes of a notebook get ids from there on: an id in an answer then refers to no other
    process outside.

    Examples
    --------
    >>> find_free_pids([1, 2, 90, 5000, 5001]) >= 5001
    True
    """
    try:
        largest = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    except OSError:
        return 0
    ends = sorted({*used, largest})
    return max((after - before, before) for before, after in itertools.pairwise(ends))[1]


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str = ""
) -> None:
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _system_call("mount", *arguments, ctypes.c_ulong(flags), data.encode() or None)


def _attributes(target: str | Path, change: _Attributes) -> None:
    _system_call(
        "syscall",
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(change),
        ctypes.c_size_t(ctypes.sizeof(change)),
    )


def drop_privileges() -> None:
    """Prevent this process from gaining privileges that could undo the isolation."""
    if not LINUX:
        return
    _prctl(_NO_NEW_PRIVILEGES, 1)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _KEPT_CAPABILITIES:
            with contextlib.suppress(OSError):  # not root's, or unknown to this kernel
                _prctl(_DROP_BOUND, capability)


# -- The grading process ---------------------------------------------------------------------------

_lock = threading.Lock()
_n_hidden = 0
_previous = 1


@contextlib.contextmanager
def hidden_from_other_processes() -> Iterator[None]:
    """Hide the memory and environment of this process from others of the same user meanwhile."""
    global _n_hidden, _previous  # an attribute of the process, shared by its threads
    if not LINUX:
        yield
        return
    with _lock:
        if _n_hidden == 0:
            _previous = ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0)
            _prctl(_SET_DUMPABLE, 0)
        _n_hidden += 1
    try:
        yield
    finally:
        with _lock:
            _n_hidden -= 1
            if _n_hidden == 0 and _previous == 1:
                _prctl(_SET_DUMPABLE, 1)


# -- The supervisor --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """The task of a supervisor.

    Attributes
    ----------
    command
        Command that runs the worker.
    folder
        Working folder of the worker.
    start_pipe
        Descriptor of the open pipe on which the worker reports its start.
    writable
        Folders that may be written to; the others are read-only if possible.
    use_namespaces
        Whether to use namespaces, where the system supports them.
    """

    command: Sequence[str]
    folder: str
    start_pipe: int
    writable: Sequence[str]
    use_namespaces: bool = True


def to_command(task: Task) -> list[str]:
    """Return the command that starts a supervisor."""
    return [sys.executable, "-P", "-m", __name__, json.dumps(asdict(task))]


def main(task: Task) -> None:
    """Run the worker to its end, and print its status as ``wait`` returns it."""
    adopt_orphans()
    writable = [Path(folder) for folder in task.writable]
    isolated = task.use_namespaces and namespaces_available(writable)
    if isolated:
        first_pid = find_free_pids(psutil.pids())
        create_namespaces()
        child = _fork(lambda: _run_as_init(task, writable, first_pid))
    else:
        child = _fork(lambda: _become_worker(task))
    os.close(task.start_pipe)
    status = _wait(child)
    end_descendants(psutil.Process())
    if not isolated:
        _report(status)


def _report(status: int) -> None:
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()


def _wait(child: int) -> int:
    """Wait for a child, and end it if the grading process has ended."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            return status
        if ended:  # an orphan
            continue
        if select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]


def _run_as_init(task: Task, writable: Sequence[Path], first_pid: int) -> int:
    """Be the first process of the namespaces: all others end when it ends."""
    seal_file_system(writable, first_pid)
    worker = _fork(lambda: _become_worker(task))
    os.close(task.start_pipe)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == worker:
            _report(status)  # the first process cannot end by the same signal
            return 0


def _become_worker(task: Task) -> int:
    os.setsid()
    os.chdir(task.folder)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # a notebook may print without end
        os.dup2(null, stream)
    drop_privileges()
    os.execv(task.command[0], [*task.command])  # noqa: S606  # our own worker


def _fork(run: Callable[[], int]) -> int:
    """Run a function in a child process, which never returns from here; return its pid."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = run()
        finally:
            os._exit(code)
    return child


def _exit_code(child: int) -> int:
    """Wait for a child; return its exit code, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# -- Descendants -----------------------------------------------------------------------------------


def find_descendants(root: psutil.Process) -> set[psutil.Process]:
    """Return the processes below another one, without those that have ended."""
    descendants = set()
    with contextlib.suppress(psutil.Error):
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    descendants.add(process)
    return descendants


def end_descendants(root: psutil.Process) -> None:
    """End all processes below another one, however fast they start new ones.

    PostgreSQL gets a signal first: a killed server leaves a segment of shared memory behind.
    """
    with contextlib.suppress(psutil.Error):
        servers = [process for process in find_descendants(root) if _is_server(process)]
        for server in servers:
            _send_signal(server, signal.SIGQUIT)
        psutil.wait_procs(servers, timeout=_GRACE_SECONDS)
    for _ in range(_MAX_ATTEMPTS):
        stopped: set[psutil.Process] = set()
        while running := find_descendants(root) - stopped:  # a stopped process starts no others
            for process in running:
                _send_signal(process, signal.SIGSTOP)
            stopped |= running
        if not stopped:
            return
        for process in stopped:
            _send_signal(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while root.pid == os.getpid() and os.waitpid(-1, os.WNOHANG)[0]:
                continue
        time.sleep(_POLL_SECONDS / 10)


def _is_server(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "postgres"
    return False


def _send_signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
