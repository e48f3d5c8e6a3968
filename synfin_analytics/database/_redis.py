"""The backend of dogpile.cache for Redis."""

from __future__ import annotations

from dogpile.cache.backends.redis import RedisBackend


class ExpiringRedisBackend(RedisBackend):  # type: ignore[misc]  # of an optional package
    """Backend that stores with SET: redis-py has deprecated the SETEX of dogpile's."""

    def set_serialized(self, key: str, value: bytes) -> None:
        """Store bytes until they expire."""
        self.writer_client.set(key, value, ex=self.redis_expiration_time)

    def close(self) -> None:
        """Close all connections."""
        self.writer_client.close()
