"""Functions that the workers of PySpark and Dask call: what one lacks is said in a sentence.

A function travels pickled inside another one, which any Python can load. An error of ours leaves
the worker without the frames of this package, so that its message is close to the top.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_SPARK_REMEDY = (
    "Install the package for it, or let the environment variable PYSPARK_PYTHON name a Python that "
    "has it, before Spark starts."
)
_DASK_REMEDY = (
    "Install the package for all workers, in the version of the client, and restart them."
)


def ship_to_spark(function: Callable[[Any], R]) -> Callable[[Any], R]:
    """Return a function of the same rows that Spark can pickle."""
    from pyspark import cloudpickle  # for functions and classes of a notebook

    payload: bytes = cloudpickle.dumps(function)  # type: ignore[no-untyped-call]
    return _loader(payload, _SPARK_REMEDY)


class DaskFunction(Generic[P, R]):
    """A function that Dask can pickle; in the process that made it, the function itself.

    Parameters
    ----------
    function
        What workers call.

    Examples
    --------
    >>> import pickle
    >>> function = DaskFunction(len)
    >>> function("abc"), pickle.loads(pickle.dumps(function))("abc")
    (3, 3)
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        named: Any = function.func if isinstance(function, functools.partial) else function
        self.__name__ = getattr(named, "__name__", type(named).__name__)  # for keys of Dask

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        import pickle

        import cloudpickle

        payload = cloudpickle.dumps(self._function)
        return pickle.loads, (cloudpickle.dumps(_loader(payload, _DASK_REMEDY)),)


def _loader(payload: bytes, remedy: str) -> Callable[..., Any]:
    """Return a function that loads another one from bytes when it is called for the first time."""
    loaded: list[Any] = []

    def call(rows: Any, *args: Any, **kwargs: Any) -> Any:  # Spark requires one parameter
        if not loaded:  # once for the batches of a task
            import pickle
            import socket
            import sys

            try:
                loaded.append(pickle.loads(payload))  # noqa: S301  # of our own process
            except ImportError as error:
                package = (error.name or "synfin_analytics").partition(".")[0]
                message = (
                    f"The Python of a worker ({sys.executable} on {socket.gethostname()}) cannot "
                    f"import {package}: {error}. {remedy}"
                )
                raise RuntimeError(message) from None
        try:
            return loaded[0](rows, *args, **kwargs)
        except Exception as error:
            if type(error).__module__ == "synfin_analytics.exceptions":
                raise error.with_traceback(None) from None
            raise

    return call
