"""What a traceback that shows local variables, as IPython's verbose one, would show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_TESTS = str(Path(__file__).parents[1])


def local_variables(error: BaseException) -> str:
    """All local variables of an error and of those behind it, but for those of tests."""
    return "\n".join(
        f"{name} = {value!r}"
        for each in _chain(error)
        for frame in frames_of(each)
        if not frame.f_code.co_filename.startswith(_TESTS)
        for name, value in frame.f_locals.items()
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from, whether Python shows them or not."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    yield from seen


def frames_of(error: BaseException | None) -> Iterator[FrameType]:
    """Frames of an error's traceback."""
    trace = error and error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
