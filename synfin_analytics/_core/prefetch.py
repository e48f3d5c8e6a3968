"""Items computed ahead, in a thread next to the caller's."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures import Future

T = TypeVar("T")
_END = object()


def prefetch(items: Iterable[T], depth: int) -> Generator[T]:
    """Yield ``items``, computed in a thread up to ``depth`` items ahead.

    An exception of the iterable is raised in place of its item.

    Examples
    --------
    >>> list(prefetch((n * n for n in range(4)), depth=2))
    [0, 1, 4, 9]
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="synfin-prefetch") as pool:

        def submit() -> Future[object]:
            return pool.submit(next, iterator, _END)

        futures = deque(submit() for _ in range(depth))
        while (item := futures.popleft().result()) is not _END:
            futures.append(submit())
            yield item  # type: ignore[misc]  # the only other object is _END
