"""Settings of the embedded server: low memory, durable, and no data in its log."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROLE = "synfin"
MEMORY_LIMITS = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
_MB = 2**20


def cluster_settings(memory: int | None = None, cores: int | None = None) -> dict[str, str]:
    """Return the settings of the server for the size of the machine.

    ``ALTER SYSTEM SET ...`` overrides each of them permanently.

    Parameters
    ----------
    memory
        Bytes of memory; by default the memory of this machine or container.
    cores
        Number of processor cores; by default those that this process may use.

    Examples
    --------
    >>> settings = cluster_settings(memory=8 * 2**30, cores=4)
    >>> settings["shared_buffers"], settings["work_mem"], settings["fsync"]
    ('256MB', '32MB', 'on')
    """
    memory = memory or available_memory()
    cores = cores or usable_cores()
    return {
        # A small part of the memory, most of which the notebook needs.
        "shared_buffers": _megabytes(memory // 32, minimum=32, maximum=512),
        "maintenance_work_mem": _megabytes(memory // 32, minimum=32, maximum=512),
        "work_mem": _megabytes(memory // 256, minimum=8, maximum=64),
        "effective_cache_size": _megabytes(memory // 2, minimum=256, maximum=2**20),
        "max_parallel_workers_per_gather": str(max(0, min(4, cores - 1))),
        "max_parallel_maintenance_workers": str(max(0, min(4, cores - 1))),
        "max_connections": "100",
        # Committed transactions survive a kill of any process, and a power failure.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # There is no replica: loads into a table that is new in its transaction skip the log.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_compression": "on",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        # Containers limit /dev/shm to 64 MB, and announce huge pages that they do not provide.
        "dynamic_shared_memory_type": "sysv" if sys.platform == "linux" else "posix",
        "huge_pages": "off",
        # Analysts run many short queries, for which compilation costs more time than it saves.
        "jit": "off",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "datestyle": "iso, mdy",
        "lc_messages": "C",
        # Statements and their errors may contain personal data, so the log contains neither.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_min_duration_statement": "-1",
        "log_statement": "none",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
    }


def command_line(data: Path, configuration: Path, sockets: Path) -> list[str]:
    """Return the arguments of ``postgres``: settings that ``ALTER SYSTEM`` must not change."""
    fixed = {
        "config_file": configuration / "postgresql.conf",
        "hba_file": configuration / "pg_hba.conf",
        "ident_file": configuration / "pg_ident.conf",
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
    }
    arguments = ["-D", str(data)]
    for name, value in fixed.items():
        arguments += ["-c", f"{name}={value}"]
    return arguments


def configuration_files(user_name: str) -> dict[str, str]:
    """Return the text of the server's configuration files, by file name.

    Only the operating-system user of the server, and root, can connect; the kernel identifies them,
    so that no password is needed.
    """
    head = "# Written by synfin_analytics at every start.\n"
    settings = "".join(f"{name} = {_quoted(to)}\n" for name, to in cluster_settings().items())
    mapped = "".join(
        f'{ROLE} "{name}" {ROLE}\n'
        for name in dict.fromkeys([user_name.replace('"', '""'), "root"])
    )
    return {
        "postgresql.conf": head + "# Change a setting with ALTER SYSTEM.\n" + settings,
        "pg_hba.conf": f"{head}local all all peer map={ROLE}\n",
        "pg_ident.conf": head + mapped,
    }


def available_memory() -> int:
    """Return the bytes of memory of this machine, or of this container if it has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in MEMORY_LIMITS:
        try:
            text = Path(limit).read_text(encoding="ascii").strip()
        except OSError:
            continue  # this kernel or platform has no such limit
        if text.isdigit():
            total = min(total, int(text))
    return total


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _megabytes(size: int, *, minimum: int, maximum: int) -> str:
    return f"{max(minimum, min(maximum, size // _MB))}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
