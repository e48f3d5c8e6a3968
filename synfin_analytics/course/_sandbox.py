"""Isolate a submitted notebook: Linux namespaces, and a parent process that adopts orphans.

Every function here may be called on any system; if the system does not support the measure, it
returns False and changes nothing. The teaching guide describes what each measure contains.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import site
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with contextlib.suppress(OSError):
        create_namespaces()
        inner = os.fork()
        if inner:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) and 1)
        with contextlib.suppress(OSError):
            seal_file_system(writable)
            os._exit(0)
    os._exit(1)


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
