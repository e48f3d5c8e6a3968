"""URLs of caches."""

from __future__ import annotations

from urllib.parse import urlsplit

#: Package that each scheme needs, besides dogpile.cache.
CACHE_PACKAGES = {
    "memory": "cachetools", "redis": "redis", "rediss": "redis", "memcached": "pymemcache"
}  # fmt: skip


def is_cache_url(url: object) -> bool:
    """Whether a URL is one of a cache.

    Examples
    --------
    >>> is_cache_url("redis://cache.bank:6379/0"), is_cache_url("http://cache.bank")
    (True, False)
    """
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port if "," not in parts.netloc else None
    except ValueError:
        return False
    if parts.scheme == "memory":
        return not parts.netloc and port is None
    return parts.scheme in CACHE_PACKAGES and bool(parts.netloc)
