"""Keep a returned notebook apart: namespaces of Linux, and a parent that adopts orphans.

Every function here may be called on any system; where the system does not offer the measure, it
returns False and nothing has changed. ``docs/teaching.md`` says what each of them contains.
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
#: What other processes get of this environment: no address, user or password of a database.
_KEPT = (
    "PATH", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "JAVA_HOME",
)  # fmt: skip

# Numbers of the kernel's interface, the same on every architecture: <linux/sched.h>,
# <linux/mount.h>, <linux/prctl.h>, <linux/capability.h>.
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PIDS = 0x00020000, 0x08000000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1
_SET_DUMPABLE, _GET_DUMPABLE, _DROP_BOUND, _SUBREAPER, _NO_NEW_PRIVILEGES = 4, 3, 24, 36, 38
#: What the embedded server needs where root runs the notebook: chown, dac_override, fowner, kill,
#: setgid, setuid.
_KEPT_CAPABILITIES = {0, 1, 3, 5, 6, 7}
_LAST_CAPABILITY = 63
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a folder of the system, made anew and empty


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
        The system refused.
    """
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _prctl(option: int, value: int) -> None:
    _system_call("prctl", option, *(ctypes.c_ulong(one) for one in (value, 0, 0, 0)))


def environment() -> dict[str, str]:
    """Variables of this environment that another process needs, and nothing secret."""
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")
    }
    if site.ENABLE_USER_SITE:
        kept["PYTHONUSERBASE"] = site.getuserbase()
    return kept


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant whose own parent ends.

    A daemon, or a process in a session of its own, is then still found below this process.
    """
    if LINUX:
        _prctl(_SUBREAPER, 1)
    return LINUX


# -- Namespaces ------------------------------------------------------------------------------------


def available(writable: Sequence[Path]) -> bool:
    """Try the namespaces in a process that ends at once."""
    if not LINUX:
        return False
    tried = os.fork()
    if tried:
        return os.waitstatus_to_exitcode(os.waitpid(tried, 0)[1]) == 0
    with contextlib.suppress(OSError):
        separate()
        inner = os.fork()
        if inner:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) and 1)
        with contextlib.suppress(OSError):
            seal(writable)
            os._exit(0)
    os._exit(1)


def separate() -> None:
    """Leave the namespaces: the next child is the first process of new ones.

    Root needs no user namespace, and would lose the embedded server's user in one.

    Raises
    ------
    OSError
        The system does not allow it.
    """
    kinds = _NEW_PIDS | _NEW_MOUNTS | _NEW_IPC
    user, group = os.geteuid(), os.getegid()
    _system_call("unshare", kinds if user == 0 else kinds | _NEW_USER)
    if user != 0:
        for file, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", file).write_text(line, encoding="ascii")


def seal(writable: Sequence[Path], first_pid: int = 0) -> None:
    """Close the file system but for some folders, and hide the processes outside.

    Called in the first process of the namespaces. A folder that is open already, as the working
    folder, is to be opened anew.

    Raises
    ------
    OSError
        The system does not allow it.
    """
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    for folder in writable:
        _mount(folder, folder, None, _BIND | _RECURSIVE)
    with contextlib.suppress(OSError):  # before Linux 5.12 files stay as they are
        _attributes("/", _Attributes(set=_READ_ONLY))
        for folder in writable:
            _attributes(folder, _Attributes(clear=_READ_ONLY))
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", _SHARED_MEMORY, "tmpfs", _NOSUID | _NODEV, "mode=1777")
    if first_pid:
        _LAST_PID.write_text(str(first_pid), encoding="ascii")


def free_pids(taken: Sequence[int]) -> int:
    """Find where the largest gap between the numbers of processes begins.

    The processes of a notebook get numbers from there: a number in an answer then names no other
    process outside.

    Examples
    --------
    >>> free_pids([1, 2, 90, 5000, 5001]) >= 5001
    True
    """
    try:
        largest = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    except OSError:
        return 0
    ends = sorted({*taken, largest})
    return max((after - before, before) for before, after in itertools.pairwise(ends))[1]


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str = ""
) -> None:
    given = [None if one is None else os.fsencode(one) for one in (source, target, kind)]
    _system_call("mount", *given, ctypes.c_ulong(flags), data.encode() or None)


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


def give_up_privileges() -> None:
    """Keep what runs from here from getting rights that could undo the rest."""
    if not LINUX:
        return
    _prctl(_NO_NEW_PRIVILEGES, 1)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _KEPT_CAPABILITIES:
            with contextlib.suppress(OSError):  # not root's, or unknown to this kernel
                _prctl(_DROP_BOUND, capability)


# -- The process that marks ------------------------------------------------------------------------

_hiding = threading.Lock()
_hidden = 0
_before = 1


@contextlib.contextmanager
def closed_to_others() -> Iterator[None]:
    """Keep memory and environment of this process from others of the same user, meanwhile."""
    global _hidden, _before  # an attribute of the process, shared by its threads
    if not LINUX:
        yield
        return
    with _hiding:
        if _hidden == 0:
            _before = ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0)
            _prctl(_SET_DUMPABLE, 0)
        _hidden += 1
    try:
        yield
    finally:
        with _hiding:
            _hidden -= 1
            if _hidden == 0 and _before == 1:
                _prctl(_SET_DUMPABLE, 1)
