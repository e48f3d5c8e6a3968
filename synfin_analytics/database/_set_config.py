"""Set settings of a transaction to values that the server's log does not show.

libpq's function call (``PQfn``) sets them, of which PostgreSQL logs the name of the function alone;
a SELECT of ``set_config`` would show the value, and so would the parameters of the extended
protocol (``log_parameter_max_length``).
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

from psycopg2 import _psycopg

from synfin_analytics.exceptions import QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - a class

#: OID of ``set_config(text, text, boolean)``, the same in all versions.
_SET_CONFIG = 2078
_PGRES_COMMAND_OK = 1
_SQLSTATE, _MESSAGE = ord("C"), ord("M")


class _Argument(ctypes.Structure):
    """PQArgBlock of libpq."""

    _fields_ = (("len", ctypes.c_int), ("isint", ctypes.c_int), ("ptr", ctypes.c_void_p))


@cache
def _libpq() -> Any:
    """Return the driver's own libpq; None if its symbols cannot be found, as on Windows."""
    libpq = ctypes.CDLL(_psycopg.__file__)
    try:
        libpq.PQfn.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_int),
            ctypes.c_int,
            ctypes.POINTER(_Argument),
            ctypes.c_int,
        ]
        libpq.PQfn.restype = ctypes.c_void_p
        libpq.PQresultStatus.argtypes = [ctypes.c_void_p]
        libpq.PQresultErrorField.argtypes = [ctypes.c_void_p, ctypes.c_int]
        libpq.PQresultErrorField.restype = ctypes.c_char_p
        libpq.PQclear.argtypes = [ctypes.c_void_p]
        libpq.PQclear.restype = None
    except AttributeError:
        return None
    return libpq


def set_config(connection: DriverConnection, settings: Mapping[str, str]) -> None:
    """Set settings of a transaction that has begun; they end with it.

    Parameters
    ----------
    connection
        The connection, whose client encoding must be UTF-8.
    settings
        The values, by names such as ``synfin.p0``.

    Raises
    ------
    psycopg2.Error
        The connection is lost.
    QueryError
        PostgreSQL does not accept a value, such as one with a NUL character.
    """
    libpq = _libpq()
    for name, text in settings.items():
        if libpq is None:
            # The server's log can show the value.
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config(%s, %s, true)", (name, text))
        else:
            _call_set_config(libpq, connection, name.encode(), text.encode())


def _call_set_config(libpq: Any, connection: DriverConnection, name: bytes, value: bytes) -> None:
    texts = (name, value, b"\1")
    buffers = [ctypes.create_string_buffer(text, max(len(text), 1)) for text in texts]
    arguments = (_Argument * len(texts))()
    for argument, text, buffer in zip(arguments, texts, buffers, strict=True):
        argument.len, argument.ptr = len(text), ctypes.addressof(buffer)
    # The function returns the value, for which libpq knows no limit.
    returned = ctypes.create_string_buffer(len(value) + 64)
    length = ctypes.c_int()
    result = libpq.PQfn(
        connection.pgconn_ptr, _SET_CONFIG, returned, ctypes.byref(length), 0, arguments, len(texts)
    )
    try:
        if libpq.PQresultStatus(result) == _PGRES_COMMAND_OK:
            return
        state = libpq.PQresultErrorField(result, _SQLSTATE)
        message = libpq.PQresultErrorField(result, _MESSAGE)
    finally:
        libpq.PQclear(result)
    if not state:  # the connection is lost, for which the driver has its own error
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    raise QueryError(
        "PostgreSQL does not accept the values of the query: "
        f"{(message or b'no answer').decode(errors='replace').partition(':')[0]}."
    )
