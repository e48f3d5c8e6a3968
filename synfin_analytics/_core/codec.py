"""Results as bytes, for a cache: numbers, texts, times, arrays, frames, and dataclasses of these.

Unlike pickle, decoding cannot run code, whoever wrote the bytes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TAG = "$"
_TYPES: dict[str, type] = {
    item.__name__: item for item in (int, float, bool, str, np.float16, np.float32, np.float64)
}


class Codec:
    """Encodes results.

    Parameters
    ----------
    classes
        Dataclasses that may occur; an object of any other class is not encoded.
    context
        What fields that are not stored get when an object is decoded, by their name: a session.

    Examples
    --------
    >>> codec = Codec()
    >>> codec.decode(codec.encode({"days": (1, 2.5), "from": dt.date(2026, 1, 1)}))
    {'days': (1, 2.5), 'from': datetime.date(2026, 1, 1)}
    """

    def __init__(
        self, classes: Iterable[type] = (), context: Mapping[str, object] | None = None
    ) -> None:
        self._classes = {item.__qualname__: item for item in classes}
        self._context = dict(context or {})

    def encode(self, value: object) -> bytes:
        """Return the bytes of a value.

        Raises
        ------
        TypeError
            A part of the value is of another type.
        """
        blobs: list[bytes] = []
        tree = self._to_tree(value, blobs)
        header = json.dumps([tree, [len(blob) for blob in blobs]]).encode()
        return zlib.compress(b"".join((len(header).to_bytes(8, "big"), header, *blobs)), 1)

    def decode(self, data: bytes) -> Any:
        """Return the value.

        Raises
        ------
        ValueError
            The bytes are not those of a value.
        """
        try:
            data = zlib.decompress(data)
            end = 8 + int.from_bytes(data[:8], "big")
            tree, sizes = json.loads(data[8:end])
            blobs = []
            for size in sizes:
                blobs.append(data[end : end + size])
                end += size
            return self._from_tree(tree, blobs)
        except (
            zlib.error, pa.ArrowException, ValueError, LookupError, TypeError, AttributeError,
            EOFError,
        ) as error:  # fmt: skip
            raise ValueError(f"not a stored result ({type(error).__name__})") from error

    def _to_tree(self, value: Any, blobs: list[bytes]) -> Any:
        if value is None or type(value) in {bool, int, float, str}:
            return value
        kind = self._kind(value)

        def encode(item: object) -> Any:
            return self._to_tree(item, blobs)

        def add(blob: bytes) -> int:
            blobs.append(blob)
            return len(blobs) - 1

        if kind in self._classes:
            content: Any = {
                item.name: encode(getattr(value, item.name))
                for item in dataclasses.fields(value)
                if item.name not in self._context
            }
        else:
            content = _ENCODERS[kind](value, encode, add)
        return {_TAG: kind, "of": content}

    def _kind(self, value: object) -> str:
        for kind, types in _KINDS.items():
            if isinstance(value, types):
                return kind
        name = type(value).__qualname__
        if self._classes.get(name) is type(value):
            return name
        if isinstance(value, type) and value in _TYPES.values():
            return "type"
        raise TypeError(f"a {name} cannot be stored")

    def _from_tree(self, tree: Any, blobs: list[bytes]) -> Any:
        if not isinstance(tree, dict):
            return tree
        kind, content = tree[_TAG], tree["of"]
        if kind in self._classes:
            return self._make(self._classes[kind], content, blobs)
        return _DECODERS[kind](content, blobs, lambda item: self._from_tree(item, blobs))

    def _make(self, cls: type, content: dict[str, Any], blobs: list[bytes]) -> Any:
        names = {item.name for item in dataclasses.fields(cls)}
        stored = {name: self._from_tree(item, blobs) for name, item in content.items()}
        given = {name: value for name, value in self._context.items() if name in names}
        if {*stored, *given} != names:
            raise ValueError(f"{cls.__qualname__} has other fields")
        made: Any = object.__new__(cls)  # its values were checked when it was first made
        for name, value in (stored | given).items():
            object.__setattr__(made, name, value)
        return made


#: Order matters: a datetime is a date.
_KINDS: dict[str, tuple[type, ...]] = {
    "pandas": (pd.DataFrame,),
    "polars": (pl.DataFrame,),
    "arrow": (pa.Table,),
    "array": (np.ndarray,),
    "scalar": (np.generic,),
    "datetime": (dt.datetime,),
    "date": (dt.date,),
    "timedelta": (dt.timedelta,),
    "decimal": (Decimal,),
    "tuple": (tuple,),
    "list": (list,),
    "dict": (Mapping,),
}
_ENCODERS: dict[str, Callable[[Any, Callable[[Any], Any], Callable[[bytes], int]], Any]] = {
    "pandas": lambda value, _encode, add: add(_arrow_bytes(_from_pandas(value))),
    "polars": lambda value, _encode, add: add(_arrow_bytes(value.to_arrow())),
    "arrow": lambda value, _encode, add: add(_arrow_bytes(value)),
    "array": lambda value, _encode, add: add(_array_bytes(value)),
    "scalar": lambda value, _encode, add: add(_array_bytes(np.asarray(value))),
    "datetime": lambda value, _encode, _add: value.isoformat(),
    "date": lambda value, _encode, _add: value.isoformat(),
    "timedelta": lambda value, _encode, _add: [value.days, value.seconds, value.microseconds],
    "decimal": lambda value, _encode, _add: str(value),
    "type": lambda value, _encode, _add: value.__name__,
    "tuple": lambda value, encode, _add: [encode(item) for item in value],
    "list": lambda value, encode, _add: [encode(item) for item in value],
    "dict": lambda value, encode, _add: [[encode(part) for part in item] for item in value.items()],
}
_DECODERS: dict[str, Callable[[Any, list[bytes], Callable[[Any], Any]], Any]] = {
    "pandas": lambda content, blobs, _: _read_arrow(blobs[content]).to_pandas(),
    "polars": lambda content, blobs, _: pl.DataFrame(_read_arrow(blobs[content])),
    "arrow": lambda content, blobs, _: _read_arrow(blobs[content]),
    "array": lambda content, blobs, _: _read_array(blobs[content]),
    "scalar": lambda content, blobs, _: _read_array(blobs[content])[()],
    "datetime": lambda content, _blobs, _: dt.datetime.fromisoformat(content),
    "date": lambda content, _blobs, _: dt.date.fromisoformat(content),
    "timedelta": lambda content, _blobs, _: dt.timedelta(*content),
    "decimal": lambda content, _blobs, _: Decimal(content),
    "type": lambda content, _blobs, _: _TYPES[content],
    "tuple": lambda content, _blobs, decode: tuple(map(decode, content)),
    "list": lambda content, _blobs, decode: list(map(decode, content)),
    "dict": lambda content, _blobs, decode: {decode(key): decode(item) for key, item in content},
}


def _array_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    try:
        np.save(buffer, array, allow_pickle=False)
    except ValueError:
        raise TypeError("an array of objects cannot be stored") from None
    return buffer.getvalue()


def _read_array(data: bytes) -> Any:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError) as error:
        raise TypeError(f"a frame cannot be stored ({type(error).__name__})") from None


def _arrow_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _read_arrow(data: bytes) -> pa.Table:
    table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)
    return table
