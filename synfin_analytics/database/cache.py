"""Answers that processes share: a cache of aggregates, which is never older than the data.

An entry is found by what was asked and by the version of the data that it was computed from
(:mod:`synfin_analytics.database._data_version`): a commit changes the version, and whatever was
stored before it is no longer found. Off unless ``cache_url`` (``DB_CACHE_URL``) is set.

An entry is signed with the version, which only those who may read the database know, and its
encoding cannot run code.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import logging
import os
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import event, text

from synfin_analytics._core.lookup import import_optional
from synfin_analytics.database._cache_url import CACHE_PACKAGES
from synfin_analytics.database._data_version import read_data_version
from synfin_analytics.database.logging import logger
from synfin_analytics.database.models import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import ConnectionPoolEntry

Answer = TypeVar("Answer")

#: Seconds until Redis or memcached forget an entry. Those of older data are never asked for.
EXPIRY = 86_400
#: Size of the entries that `memory://` keeps, in bytes; the least recently used ones go first.
MEMORY = 64 * 2**20
#: Seconds to wait for a process that computes the same; then its lock has expired, too.
PATIENCE = 60
#: Seconds after which a server that did not answer is tried again.
PAUSE = 30
_TIMEOUT = 2.0
_POLL = 0.05
_INFO = "synfin_cache_url"  # key of `connection.info`
_HOLDS_LOCKS = text("""
    SELECT EXISTS (
        SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation IN
            (SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:names AS text[])) AS t(name))
    )
""")


class Codec(Protocol[Answer]):
    """How an answer becomes bytes."""

    def encode(self, answer: Answer) -> bytes:
        """Return the bytes of an answer."""
        ...

    def decode(self, data: bytes) -> Answer:
        """Return the answer; a ValueError if the bytes are not one."""
        ...


def attach_cache(engine: Engine, url: str | None) -> None:
    """Let the sessions of an engine use the cache at ``url``, if there is one.

    Raises
    ------
    MissingDependencyError
        A package that the cache needs is not installed.

    Examples
    --------
    >>> from sqlalchemy import create_engine
    >>> attach_cache(create_engine("postgresql+psycopg2://db.bank"), None)
    """
    if url is None:
        return
    open_cache(url)  # an error about it comes now, not in the middle of a report

    def remember(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info[_INFO] = url

    event.listen(engine, "connect", remember)


def cached(
    connection: Connection,
    name: str,
    question: object,
    tables: Iterable[str],
    compute: Callable[[], Answer],
    codec: Codec[Answer],
    *,
    enabled: bool = True,
) -> Answer:
    """Return the answer to a question from the cache, or compute and store it.

    Parameters
    ----------
    connection
        Connection that the answer is computed on.
    name
        What is asked, for the log.
    question
        All that the answer depends on, besides the data: its ``repr`` must be the same in each
        process. Only its hash leaves this process.
    tables
        Tables that the answer is computed from.
    compute
        Computes the answer on the connection.
    codec
        How the answer is stored. It must not contain personal data.
    enabled
        False to compute it in any case, and to store nothing.
    """
    url = connection.info.get(_INFO) if enabled else None
    if url is None:
        return compute()
    tables = sorted(tables)
    before = read_data_version(connection, tables)
    if before is None:
        logger.debug("cache not used: %s", name)
        return compute()

    def is_unchanged() -> bool:
        return read_data_version(connection, tables) == before

    digest = hashlib.sha256(f"{before}\0{name}\0{question!r}\0{_package()}".encode()).hexdigest()
    entry = _Entry(f"synfin:{digest}", before.encode(), name, codec)
    answer: Answer = entry.find_or_compute(
        open_cache(url), compute, is_unchanged, lambda: not _holds_locks(connection)
    )
    return answer


def _holds_locks(connection: Connection) -> bool:
    """Whether others may wait for this transaction, because it has read a table."""
    return bool(connection.execute(_HOLDS_LOCKS, {"names": list(TABLES)}).scalar_one())


class _Entry:
    """One answer in a cache."""

    def __init__(self, key: str, secret: bytes, name: str, codec: Codec[Any]) -> None:
        self._key, self._secret, self._name, self._codec = key, secret, name, codec

    def find_or_compute(
        self,
        cache: Cache,
        compute: Callable[[], Any],
        is_unchanged: Callable[[], bool],
        may_wait: Callable[[], bool],
    ) -> Any:
        """Return the stored answer; otherwise compute it, while others wait for it.

        A transaction that holds locks must not wait: who computes the answer may wait for a
        TRUNCATE, which waits for these locks.
        """
        deadline = None
        while True:
            found, answer = self._find(cache)
            if found:
                logger.debug("cache hit: %s", self._name)
                return answer
            with cache.lock(self._key) as locked:
                if locked:
                    found, answer = self._find(cache)  # it may have been stored meanwhile
                    if found:
                        logger.debug("cache hit: %s", self._name)
                        return answer
                elif deadline is None:
                    deadline = time.monotonic() + (PATIENCE if may_wait() else 0)
                if locked or (deadline is not None and time.monotonic() >= deadline):
                    logger.debug("cache miss: %s", self._name)
                    answer = compute()
                    # Otherwise the answer may be newer than its key.
                    if is_unchanged():
                        self._store(cache, answer)
                    return answer
            time.sleep(_POLL)

    def _find(self, cache: Cache) -> tuple[bool, Any]:
        stored = cache.get(self._key)
        if stored is None:
            return False, None
        signature, data = stored[:32], stored[32:]
        if hmac.compare_digest(signature, self._sign(data)):
            try:
                return True, self._codec.decode(data)
            except ValueError:  # stored by a version of this package that encodes otherwise
                pass
        logger.debug("cache entry not readable: %s", self._name)
        return False, None

    def _store(self, cache: Cache, answer: Any) -> None:
        try:
            data = self._codec.encode(answer)
        except TypeError as error:
            logger.debug("cache cannot store %s: %s", self._name, error)
        else:
            cache.set(self._key, self._sign(data) + data)

    def _sign(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, self._key.encode() + data, "sha256")


class Cache:
    """A region of dogpile.cache for bytes, which never makes a call fail.

    Parameters
    ----------
    url
        Its URL.
    """

    def __init__(self, url: str) -> None:
        scheme = urlsplit(url).scheme
        options = {"extra": "cache", "purpose": "A cache (DB_CACHE_URL)"}
        dogpile = import_optional("dogpile.cache", **options)
        package = import_optional(CACHE_PACKAGES[scheme], **options)
        self._errors: tuple[type[Exception], ...] = (OSError, ValueError)
        #: Errors of a cache that answers, without their subclasses.
        self._refusals: tuple[type[Exception], ...] = (ValueError,)
        arguments: dict[str, Any]
        if scheme == "memory":
            backend = "dogpile.cache.memory"
            arguments = {"cache_dict": package.LRUCache(MEMORY, getsizeof=len)}
        elif scheme == "memcached":
            backend = "synfin.memcached"
            dogpile.register_backend(backend, f"{__package__}._memcached", "MemcachedBackend")
            servers = urlsplit(url).netloc.split(",")
            arguments = {"url": servers, "memcached_expire_time": EXPIRY, "timeout": _TIMEOUT}
            exceptions = import_optional("pymemcache.exceptions", **options)
            self._errors += (exceptions.MemcacheError,)
            self._refusals += (exceptions.MemcacheServerError,)
        else:
            backend = "synfin.redis"
            dogpile.register_backend(backend, f"{__package__}._redis", "ExpiringRedisBackend")
            arguments = {
                "url": url, "redis_expiration_time": EXPIRY,
                "socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT,
                "thread_local_lock": False,
            }  # fmt: skip
            self._errors += (package.exceptions.RedisError,)
            self._refusals += (
                package.exceptions.ResponseError,
                package.exceptions.OutOfMemoryError,
            )
        if scheme != "memory":
            arguments |= {"distributed_lock": True, "lock_timeout": PATIENCE}
        region = dogpile.make_region()
        self._region: Any = region.configure(backend, arguments=arguments)
        self._missing = import_optional("dogpile.cache.api", **options).NO_VALUE
        #: Redis and memcached have clients that threads may share; the dict of `memory://` is not.
        self._guard = threading.Lock() if scheme == "memory" else contextlib.nullcontext()
        self._locks: dict[str, threading.Lock] = {}
        self._down_until = 0.0
        self._warned = self._has_refused = False

    def get(self, key: str) -> bytes | None:
        """Return the bytes at a key; None if there are none, or the cache is down."""

        def read() -> bytes | None:
            with self._guard:
                # Not through the region, which would decode what is not verified yet.
                value = self._region.backend.get_serialized(key)
            return None if value is self._missing else value

        value: bytes | None = self._call(read)
        return value

    def set(self, key: str, value: bytes) -> None:
        """Store bytes, unless the cache is down."""

        def write() -> None:
            with self._guard:
                self._region.backend.set_serialized(key, value)

        self._call(write, f" of {len(value):,} bytes")

    def close(self) -> None:
        """Close the connections of this process."""
        close = getattr(self._region.backend, "close", None)
        if close is not None:
            with contextlib.suppress(*self._errors):
                close()

    def lock(self, key: str) -> _Lock:
        """Return a lock that one process holds while it computes an answer."""
        return _Lock(self, key)

    def _call(self, action: Callable[[], Any], size: str = "") -> Any:
        if time.monotonic() < self._down_until:
            return None
        try:
            value = action()
        except self._errors as error:
            if type(error) in self._refusals:  # of an entry that is too large, for example
                logger.log(
                    logging.DEBUG if self._has_refused else logging.WARNING,
                    "the cache (DB_CACHE_URL) refuses an entry%s (%s); answers that it does not "
                    "store are computed each time",
                    size,
                    type(error).__name__,
                )
                self._has_refused = True
                return None
            self._down_until = time.monotonic() + PAUSE
            if not self._warned:
                self._warned = True
                logger.warning(
                    "the cache (DB_CACHE_URL) does not answer (%s); answers are computed without "
                    "it. It is tried again every %d s.",
                    type(error).__name__,
                    PAUSE,
                )
            return None
        self._warned = False
        return value


class _Lock:
    """The lock of one key; entering never waits, and tells whether it was free."""

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache, self._key = cache, key
        self._mutex: Any = None

    def __enter__(self) -> bool:
        cache = self._cache
        mutex = cache._region.backend.get_mutex(self._key)
        if mutex is None:
            with cache._guard:
                mutex = cache._locks.setdefault(self._key, threading.Lock())
        acquired = cache._call(lambda: mutex.acquire(False))
        if acquired:
            self._mutex = mutex
        return acquired is None or bool(acquired)  # without a cache, nobody waits

    def __exit__(self, *_: object) -> None:
        mutex, self._mutex = self._mutex, None
        if mutex is not None:
            try:
                mutex.release()
            except self._cache._errors as error:  # it has expired, or the cache is down
                logger.debug("cache lock: %s", type(error).__name__)
            with self._cache._guard:
                self._cache._locks.pop(self._key, None)


_caches: dict[str, Cache] = {}
_opening = threading.Lock()


def open_cache(url: str) -> Cache:
    """Return the cache of this process for a URL.

    Raises
    ------
    MissingDependencyError
        A package that the cache needs is not installed.

    Examples
    --------
    >>> open_cache("memory://") is open_cache("memory://")
    True
    """
    with _opening:
        if url not in _caches:
            _caches[url] = Cache(url)
        return _caches[url]


def close_caches() -> None:
    """Forget all caches of this process; the entries of `memory://` are lost.

    Examples
    --------
    >>> close_caches()
    """
    global _opening
    _opening = threading.Lock()
    for cache in _caches.values():
        cache.close()
    _caches.clear()


@functools.lru_cache
def _package() -> str:
    try:
        return version("synfin-analytics")
    except PackageNotFoundError:  # a checkout on the path
        return ""


# A forked process must not write to its parent's connections, nor wait for its locks.
os.register_at_fork(after_in_child=close_caches)
