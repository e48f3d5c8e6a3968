"""Splits by time one after the other, as a cross-validator of scikit-learn and as frames."""

from __future__ import annotations

import datetime as dt
import inspect
from typing import TYPE_CHECKING, Any, Self, TypeVar

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import (
    check_column_name,
    check_integer,
    format_value,
    refuse_spelling,
)
from synfin_analytics._core.dataframes import check_columns, is_frame, is_lazy_frame
from synfin_analytics._core.dates import parse_time
from synfin_analytics._core.lookup import import_optional
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics._evaluate import to_series
from synfin_analytics.metrics._timeline import (
    TEST,
    TRAINING,
    Columns,
    Lengths,
    Timeline,
    assign_rows,
    format_range,
    open_in_memory,
    read_codes,
    read_complete_timestamps,
    read_labels,
    read_timestamps,
)
from synfin_analytics.metrics.splits import split_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from narwhals.typing import IntoFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.types import ArrayLike, Floats
    from synfin_analytics.metrics.splits import TimeSplit

FrameT = TypeVar("FrameT", bound="IntoFrame")

#: What :meth:`PrequentialSplit.split` takes besides the rows and their labels.
_METADATA = ("groups", "timestamp", "label_available_at")


class PrequentialSplit:
    """Split repeatedly by time: a cross-validator for scikit-learn, and folds of a DataFrame.

    Each fold learns from a period of length ``train``, waits ``delay`` for the labels, and is
    tested on the period ``test`` after it, which is the training set of a later one. No two folds
    test on the same rows, and each learns only from what was known when its own test began. The
    spread of a metric over the folds is its variation over time (prequential evaluation: Gama,
    Sebastião and Rodrigues, 2013).

    Pass it as ``cv=`` to ``cross_validate``, ``GridSearchCV`` and others, or call :meth:`folds`
    with a DataFrame. It does not need scikit-learn.

    Parameters
    ----------
    n_splits
        Number of folds, each one test period after the one before.
    train, delay, test
        Length of each period, as for :func:`time_split`: a whole number and m, h, d or w. ``delay``
        is the label delay, ``label_delay`` of :func:`time_split`; it may be ``"0d"``.
    timestamps
        Time of each row: an array, or a column of the ``X`` that is split. Without a time zone they
        are taken as UTC.
    label_available_at
        Time from which each label was known, in the same form; a missing value means at once.
        Without it, each label was known ``delay`` after its row.
    start
        Start of the training of the last fold. By default as late as the rows allow, as for
        :func:`time_split`.
    drop_compromised
        Leave out of the tests what was known to be compromised: see :func:`time_split`.

    Attributes
    ----------
    n_splits, train, delay, test, timestamps, label_available_at, start, drop_compromised
        The parameters.

    Raises
    ------
    ArgumentError
        A period or a number is invalid.

    See Also
    --------
    time_split : one split of a DataFrame.

    Examples
    --------
    >>> days = np.arange("2026-03-01", "2026-03-09", dtype="M8[D]")
    >>> cv = PrequentialSplit(3, train="2d", delay="1d", test="1d", timestamps=days)
    >>> for train, test in cv.split(np.zeros((8, 1))):
    ...     print(train, test)
    [2 3] [5]
    [3 4] [6]
    [4 5] [7]

    In scikit-learn:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = np.array([[1], [5], [1], [5], [1], [5], [1], [5]]), [0, 1, 0, 1, 0, 1, 0, 1]
    >>> cross_val_score(LogisticRegression(), X, y, cv=cv)
    array([1., 1., 1.])
    """

    @refuse_spelling(label_delay="delay")
    def __init__(
        self,
        n_splits: int = 5,
        *,
        train: str = "7d",
        delay: str = "7d",
        test: str = "7d",
        timestamps: str | ArrayLike = "timestamp",
        label_available_at: str | ArrayLike | None = None,
        start: dt.date | str | None = None,
        drop_compromised: bool = True,
    ) -> None:
        self._lengths = Lengths.parse(train, delay, test, "delay")
        if start is not None:
            parse_time(start, "start")
        self.n_splits = check_integer(n_splits, "n_splits", minimum=1)
        self.train, self.delay, self.test = train, delay, test
        self.timestamps = timestamps
        self.label_available_at = label_available_at
        self.start = start
        self.drop_compromised = drop_compromised
        self._requests: dict[str, bool | str | None] = dict.fromkeys(_METADATA, True)

    def get_n_splits(
        self,
        X: object = None,  # noqa: ARG002, N803 - the signature of scikit-learn
        y: object = None,  # noqa: ARG002
        groups: object = None,  # noqa: ARG002
        **metadata: object,  # noqa: ARG002
    ) -> int:
        """Return the number of folds; the arguments are ignored.

        Examples
        --------
        >>> PrequentialSplit(3).get_n_splits()
        3
        """
        return self.n_splits

    def split(
        self,
        X: object,  # noqa: N803 - scikit-learn's name
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        timestamp: ArrayLike | None = None,
        label_available_at: ArrayLike | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Return the positions of the rows of each fold, the earliest first.

        Parameters
        ----------
        X
            The rows, in memory: a DataFrame if columns of it are named, otherwise anything with
            rows. For a lazy frame, which has no positions, call :meth:`folds`.
        y
            Labels. Rows whose label is missing are in no fold, since they can be neither learnt
            from nor scored.
        groups
            Cards or customers. With it, ``y`` must be 1 or true for fraud, and the tests leave out
            those that were known to be compromised, unless ``drop_compromised`` is False.
        timestamp, label_available_at
            Times of these rows, in place of those that the splitter was created with. scikit-learn
            passes them on if metadata routing is enabled.

        Returns
        -------
        iterator of tuple
            Training and test of one fold at a time; all are checked before the first is made.

        Raises
        ------
        NotFoundError
            A column is not in ``X``; the message suggests the nearest name.
        ArgumentError
            A set would be empty (the message says which, and why), an array has another length than
            ``X``, a timestamp is missing, or a label with ``groups`` is neither 0 nor 1.

        Examples
        --------
        >>> days = np.arange("2026-03-01", "2026-03-06", dtype="M8[D]")
        >>> cv = PrequentialSplit(1, train="2d", delay="1d", test="2d", timestamps=days)
        >>> X, y, cards = np.zeros((5, 1)), [1, 0, 0, 0, 0], ["a", "b", "c", "a", "b"]
        >>> [test.tolist() for _, test in cv.split(X, y)]
        [[3, 4]]
        >>> [test.tolist() for _, test in cv.split(X, y, groups=cards)]  # card a is blocked
        [[4]]
        """
        timeline = self._timeline(X, y, groups, timestamp, label_available_at)
        labelled = ~np.isnan(timeline.labels)
        last = timeline.timestamps.max()
        starts = self._lengths.find_starts(last, self.start, self.n_splits)
        for start in starts:
            parts, _ = assign_rows(timeline, self._lengths, start)
            if not (parts[TEST] & labelled).any():
                bounds = self._lengths.bounds(start)[2:]
                raise ArgumentError(
                    f"None of the {parts[TEST].sum():,} rows in the test period, "
                    f"{format_range(*bounds)}, has a label."
                )
        return (
            (np.flatnonzero(parts[TRAINING]), np.flatnonzero(parts[TEST] & labelled))
            for parts, _ in (assign_rows(timeline, self._lengths, start) for start in starts)
        )

    def folds(
        self, df: FrameT, *, label: str = "is_fraud", entity: str = "customer_id"
    ) -> Iterator[TimeSplit[FrameT]]:
        """Return the folds of a DataFrame, the earliest first, each as a :class:`TimeSplit`.

        Test rows without a label stay, as for :func:`time_split`.

        Parameters
        ----------
        df
            Transactions, one a row, of any engine that :func:`time_split` accepts. It has the
            columns that the splitter was created with.
        label
            Column of the label.
        entity
            Column of what is blocked: cards or customers.

        Returns
        -------
        iterator of TimeSplit
            One at a time; all are checked before the first is made. The sets of a lazy frame are
            lazy frames of its engine, which counts all folds in two queries.

        Raises
        ------
        NotFoundError, ArgumentError
            As for :func:`time_split`, and if the rows do not reach back far enough.

        Examples
        --------
        >>> import datetime as dt
        >>> import polars as pl
        >>> first, last = dt.datetime(2026, 3, 1), dt.datetime(2026, 3, 8)
        >>> days = pl.datetime_range(first, last, "1d", eager=True)
        >>> df = pl.DataFrame({"timestamp": days, "customer_id": range(8), "is_fraud": False})
        >>> for fold in PrequentialSplit(3, train="2d", delay="1d", test="1d").folds(df):
        ...     print(fold.start.date(), fold.test_start.date())
        2026-03-03 2026-03-06
        2026-03-04 2026-03-07
        2026-03-05 2026-03-08
        """
        timestamps = check_column_name(self.timestamps, "timestamps")
        available = self.label_available_at
        if available is not None:
            available = check_column_name(available, "label_available_at")
        columns = Columns(timestamps, label, available, entity if self.drop_compromised else None)
        return split_frame(
            df,
            columns,
            self._lengths,
            self.start,
            self.n_splits,
            caller="PrequentialSplit.folds",
        )

    def set_split_request(self, **requests: bool | str | None) -> Self:
        """Name the metadata of :meth:`split`, as for every splitter of scikit-learn.

        Parameters
        ----------
        **requests
            ``groups``, ``timestamp`` and ``label_available_at``: True if the metadata has the same
            name (the default), another name, or False or None to ignore it.

        Returns
        -------
        PrequentialSplit
            Itself.

        Raises
        ------
        NotFoundError
            :meth:`split` has no such metadata.

        Examples
        --------
        >>> PrequentialSplit().set_split_request(groups="customer")
        PrequentialSplit()
        """
        for name, request in requests.items():
            if name not in _METADATA:
                raise NotFoundError("metadata", name, _METADATA)
            self._requests[name] = request
        return self

    def get_metadata_routing(self) -> object:
        """Return which metadata :meth:`split` takes: scikit-learn's ``MetadataRequest``.

        Raises
        ------
        MissingDependencyError
            scikit-learn is not installed.

        Examples
        --------
        >>> PrequentialSplit().get_metadata_routing()
        {'split': {'groups': True, 'timestamp': True, 'label_available_at': True}}
        """
        routing = import_optional(
            "sklearn.utils.metadata_routing", extra="models", purpose="Metadata routing"
        )
        request: Any = routing.MetadataRequest(owner=type(self).__name__)
        for name, alias in self._requests.items():
            request.split.add_request(param=name, alias=alias)
        return request

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        changed = [
            f"{parameter.name}={_format_parameter(getattr(self, parameter.name))}"
            for parameter in parameters
            if _differs(getattr(self, parameter.name), parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _timeline(
        self,
        X: object,  # noqa: N803
        y: object,
        groups: object,
        timestamp: object,
        available: object,
    ) -> Timeline:
        if is_lazy_frame(X):
            raise ArgumentError(
                "`X` must be rows in memory, since `split` returns their positions; got "
                f"{format_value(X)}. `folds` accepts a lazy frame."
            )
        n_rows = _count_rows(X)
        if not n_rows:
            raise ArgumentError("`X` must have rows to split; got none.")

        def open_times(passed: object, own: object, name: str) -> tuple[nw.DataFrame[Any], str]:
            values = own if passed is None else passed
            if not isinstance(values, str):
                return _array_frame(values, name, n_rows), name
            frame = _open_features(X, values, name)
            check_columns([values], frame.columns)
            return frame, values

        times = open_times(timestamp, self.timestamps, "timestamps")
        own = self.label_available_at
        known = None
        if available is not None or own is not None:
            known = read_timestamps(*open_times(available, own, "label_available_at"))
        blocks = groups is not None and self.drop_compromised and y is not None
        if y is None:
            labels = np.zeros(n_rows)
        elif blocks:
            labels = read_labels(_array_frame(y, "y", n_rows), "y")
        else:
            labels = _missing_as_nan(y, n_rows)
        entities = read_codes(_array_frame(groups, "groups", n_rows), "groups") if blocks else None
        return Timeline(read_complete_timestamps(*times), labels, known, entities)


def _count_rows(X: Any) -> int:  # noqa: N803
    """Return the number of rows of a matrix, a frame or a list."""
    shape = getattr(X, "shape", None)
    try:
        return int(shape[0]) if shape else len(X)
    except TypeError:
        raise ArgumentError(f"`X` must be rows in memory; got {format_value(X)}.") from None


def _open_features(X: Any, column: str, argument: str) -> nw.DataFrame[Any]:  # noqa: N803
    """Return the rows as a frame, to take a column from it."""
    if not is_frame(X):
        raise ArgumentError(
            f"`X` must be a DataFrame with the column {column!r}; got {format_value(X)}. Pass the "
            f"values instead: {argument}=array."
        )
    return open_in_memory(X, "X")


def _array_frame(values: Any, name: str, n_rows: int) -> nw.DataFrame[Any]:
    """Return an array of one value for each row as a frame with one column."""
    series = to_series(values, name, "Pass one value for each row of `X`.")
    if len(series) != n_rows:
        raise ArgumentError(
            f"`{name}` must have one value for each of the {n_rows:,} rows of `X`; got "
            f"{len(series):,}. If `X` is only a part of the rows, as in a nested search, name a "
            "column of `X` or pass the values as metadata."
        )
    frame: nw.DataFrame[Any] = nw.from_native(pd.DataFrame({name: series}), eager_only=True)
    return frame


def _missing_as_nan(y: Any, n_rows: int) -> Floats:
    """Return 0 for a row with a label of any kind, and NaN for one without."""
    missing = np.asarray(pd.isna(np.asarray(y)))
    if missing.ndim == 2:
        missing = np.logical_or.reduce(missing, axis=1)
    if missing.shape != (n_rows,):
        raise ArgumentError(
            f"`y` must have one label for each of the {n_rows:,} rows of `X`; got an array of "
            f"shape {np.shape(y)}."
        )
    return np.where(missing, np.nan, 0.0)


def _differs(value: object, default: object) -> bool:
    """Whether a parameter is not the default; arrays always differ."""
    return type(value) is not type(default) or value != default


def _format_parameter(value: object) -> str:
    if value is None or isinstance(value, str | int):
        return repr(value)
    return str(value) if isinstance(value, dt.date) else f"<{type(value).__name__}>"
