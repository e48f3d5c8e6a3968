"""URLs of caches."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from synfin_analytics.database._hosts import is_list_of_servers

#: Package that each scheme needs, besides dogpile.cache.
CACHE_PACKAGES = {
    "memory": "cachetools", "redis": "redis", "rediss": "redis", "memcached": "pymemcache"
}  # fmt: skip
#: What may follow `?` in the URL of a Redis with TLS; redis-py passes others to its connection.
_TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


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
        if parts.scheme == "memory":
            return url == "memory://"
        if parts.scheme == "memcached":
            is_list = "@" not in parts.netloc and is_list_of_servers(parts.netloc)
            return is_list and url == f"memcached://{parts.netloc}"
        if parts.scheme not in CACHE_PACKAGES or parts.fragment or not parts.hostname:
            return False
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        allowed = _TLS_OPTIONS if parts.scheme == "rediss" else set()
        database = parts.path.removeprefix("/")
        return (
            parts.port != 0
            and (database == "" or (database.isascii() and database.isdigit()))
            and options.keys() <= allowed
        )
    except ValueError:  # a port that is none, or options that are none
        return False
