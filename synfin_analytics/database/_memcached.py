"""The backend of dogpile.cache for memcached, with timeouts and without pickle."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from dogpile.cache.backends.memcached import PyMemcacheBackend
from pymemcache.client.hash import HashClient

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Bytes:
    """Stores bytes as they are. The default would unpickle what others have stored."""

    def serialize(self, _key: object, value: bytes | int) -> tuple[bytes, int]:
        return (value if isinstance(value, bytes) else b"%d" % value), 0

    def deserialize(self, _key: object, value: bytes, _flags: int) -> bytes:
        return value


class MemcachedBackend(PyMemcacheBackend):  # type: ignore[misc]  # of an optional package
    """Backend whose connections give up after a while.

    Parameters
    ----------
    arguments
        Those of dogpile's backend, and ``timeout`` in seconds.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self._timeout = arguments["timeout"]

    def _create_client(self) -> HashClient:
        return HashClient(
            self.url,
            serde=_Bytes(),
            default_noreply=False,  # otherwise, a lock is always acquired
            connect_timeout=self._timeout,
            timeout=self._timeout,
            retry_attempts=0,
            use_pooling=True,
        )

    @functools.cached_property
    def client(self) -> HashClient:
        """The client of all threads: with a pool of connections, which :meth:`close` closes."""
        return self._create_client()

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
