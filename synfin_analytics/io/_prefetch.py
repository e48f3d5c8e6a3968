"""Work done one step ahead, while the database is busy with the step before."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures import Future

T = TypeVar("T")
_END = object()


def ahead(items: Iterable[T], depth: int) -> Generator[T]:
    """Yield ``items``, computed in a thread up to ``depth`` before they are asked for.

    An exception of the iterable is raised where its item would have come.

    Examples
    --------
    >>> list(ahead((n * n for n in range(4)), depth=2))
    [0, 1, 4, 9]
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="synfin-ahead") as pool:

        def step() -> Future[object]:
            return pool.submit(next, source, _END)

        waiting = deque(step() for _ in range(depth))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(step())
            yield item  # type: ignore[misc]  # whatever is not the end is an item
