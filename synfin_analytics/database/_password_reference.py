"""Passwords by reference: from an environment variable, or from the output of a command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from synfin_analytics.database._environment_files import PASSWORD_COMMAND, PASSWORD_VARIABLE
from synfin_analytics.database._secret import Secret
from synfin_analytics.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics.database._environment_files import Section

#: Seconds that a command may take: its user may have to unlock a key first.
PATIENCE = 60.0
_MAX_BYTES = 64 * 2**10
_EXAMPLE = '["pass", "show", "bank"]'


def check_reference(section: Section) -> None:
    """Raise an error if a section does not refer to its password correctly; run nothing."""
    variable = section.values.get(PASSWORD_VARIABLE)
    command = section.values.get(PASSWORD_COMMAND)
    if variable is not None and command is not None:
        raise _error(section, PASSWORD_COMMAND, "is set, but password_variable is set too. Keep "
                     "one of them")  # fmt: skip
    # The value is not repeated: it may be the password itself.
    if variable is not None and not (
        isinstance(variable, Secret) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable.reveal())
    ):
        raise _error(section, PASSWORD_VARIABLE, "must be the name of an environment variable, "
                     'such as "BANK_PASSWORD"')  # fmt: skip
    if command is not None and not (
        isinstance(command, list)
        and command
        and command[0]
        and all(isinstance(word, Secret) and "\0" not in word for word in command)
    ):
        raise _error(section, PASSWORD_COMMAND, f"must be a list of words, such as {_EXAMPLE}")


def read_password(section: Section, environ: Mapping[str, str]) -> Secret | None:
    """Return the password to which a section refers; None if it does not refer to one.

    Raises
    ------
    ConfigurationError
        There is no such variable, or the command fails; the message has neither its arguments nor
        its output.
    """
    check_reference(section)
    if PASSWORD_VARIABLE in section.values:
        password = Secret(environ.get(section.values[PASSWORD_VARIABLE].reveal(), ""))
        del environ  # a traceback would show it
        if not password:
            raise _error(section, PASSWORD_VARIABLE, "names an environment variable that is not "
                         "set. Set it, or DB_PASSWORD")  # fmt: skip
        return password
    del environ
    if PASSWORD_COMMAND in section.values:
        _check_owner(section)
        result = _run([word.reveal() for word in section.values[PASSWORD_COMMAND]], section.file)
        if not isinstance(result, Secret):
            raise _error(section, PASSWORD_COMMAND, f"{result}. Run the command in a terminal to "
                         "see why, or set DB_PASSWORD")  # fmt: skip
        return result
    return None


def _check_owner(section: Section) -> None:
    """Refuse to run the command of a file that someone else can change, for example in /tmp."""
    if os.name == "posix" and not _is_trusted(section.file):
        raise _error(section, PASSWORD_COMMAND, "is not run, because another user can change the "
                     "file. Own the file, or set DB_PASSWORD")  # fmt: skip


def _is_trusted(file: Path) -> bool:
    info = file.stat()
    return info.st_uid in {0, os.geteuid()} and not info.st_mode & 0o002


def _run(command: Sequence[str], file: Path) -> Secret | str:
    """Run a command and return the first line of its output, or why there is none.

    A program such as ``./password`` is in the folder of the file.

    No error is raised here: a traceback would show the output.
    """
    is_path = any(separator and separator in command[0] for separator in (os.sep, os.altsep))
    program = shutil.which(file.parent / Path(command[0]).expanduser() if is_path else command[0])
    if program is None:
        return "names a program that does not exist"
    deadline = time.monotonic() + PATIENCE
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        return f"cannot be run ({error.strerror})"
    # A child of the command may keep its output open: a thread waits for it, and this function no
    # longer than the command may take.
    output: list[bytes] = []
    reader = threading.Thread(target=_read, args=(process.stdout, output), daemon=True)
    reader.start()
    try:
        reader.join(PATIENCE)
        if output and len(output[0]) == _MAX_BYTES:
            return "printed more than a password"
        status = process.wait(max(0.0, deadline - time.monotonic())) if output else None
    except subprocess.TimeoutExpired:
        status = None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if status is None:
        return f"did not end within {PATIENCE:g} s"
    return _first_line(output[0]) if status == 0 else f"failed with exit status {status}"


def _read(pipe: IO[bytes], output: list[bytes]) -> None:
    with pipe:
        output.append(pipe.read(_MAX_BYTES))


def _first_line(output: bytes) -> Secret | str:
    line = output.split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "printed a password that is not UTF-8"
    if not text or "\0" in text:
        return "printed no password"
    return Secret(text)


def _error(section: Section, key: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{section.label(key)} {reason}.", variable=key)
