"""The local variables that a verbose traceback of IPython would show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_TESTS = str(Path(__file__).parents[1])


def local_variables(error: BaseException) -> str:
    """All local variables of an error and its causes, without those of tests."""
    return "\n".join(
        f"{name} = {value!r}"
        for exception in _chain(error)
        for frame in frames_of(exception)
        if not frame.f_code.co_filename.startswith(_TESTS)
        for name, value in frame.f_locals.items()
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error with its causes and contexts, including suppressed ones."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        exception = waiting.pop()
        if exception is not None and exception not in seen:
            seen.append(exception)
            waiting += [exception.__cause__, exception.__context__]
    yield from seen


def frames_of(error: BaseException | None) -> Iterator[FrameType]:
    """Frames of an error's traceback."""
    trace = error and error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
