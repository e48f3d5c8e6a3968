"""What goes into :func:`load_df` and what comes out: its options and its report."""

from __future__ import annotations

import dataclasses
import html
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from synfin_analytics._core.html import table_html
from synfin_analytics._core.output import build_frame, check_output
from synfin_analytics._core.validation.options import ReadArguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from synfin_analytics._core.output import Output

OnInvalid: TypeAlias = Literal["raise", "reject"]
OnMissingParent: TypeAlias = Literal["raise", "create"]
OnConflict: TypeAlias = Literal["error", "skip", "update"]
RebuildIndexes: TypeAlias = Literal["auto", "always", "never"]

#: Relative change of the fraud rate from which on a message is worthwhile.
_MIN_RELATIVE_CHANGE = 0.001


class LoadOptions(ReadArguments, total=False):
    """Keyword arguments of :func:`load_df`, except those that say where the rows go."""

    columns: Mapping[str, str | None] | None
    on_invalid: OnInvalid
    on_missing_parent: OnMissingParent
    on_conflict: OnConflict
    rebuild_indexes: RebuildIndexes
    confirm: str | None
    progress: bool | None


class BatchedLoadOptions(LoadOptions, total=False):
    """The same with ``batch_size``."""

    batch_size: int | None


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """Labels of the transactions of a load, and of those among them that were rejected.

    Attributes
    ----------
    n_labelled, n_frauds
        Number of rows with a label, and of rows labelled fraud.
    n_rejected, n_rejected_frauds
        The same among the rejected rows.

    Examples
    --------
    >>> labels = LabelCounts(n_labelled=100, n_frauds=13, n_rejected=13, n_rejected_frauds=13)
    >>> labels.fraud_rate, labels.fraud_rate_without_rejected, labels.fraud_rate_changed
    (0.13, 0.0, True)
    """

    n_labelled: int
    n_frauds: int
    n_rejected: int
    n_rejected_frauds: int

    @property
    def fraud_rate(self) -> float:
        """Fraud rate of all rows of the data."""
        return self.n_frauds / self.n_labelled if self.n_labelled else math.nan

    @property
    def fraud_rate_without_rejected(self) -> float:
        """Fraud rate of the rows that were not rejected."""
        n_left = self.n_labelled - self.n_rejected
        return (self.n_frauds - self.n_rejected_frauds) / n_left if n_left else math.nan

    @property
    def fraud_rate_changed(self) -> bool:
        """Whether rejecting the rows changed the fraud rate, by more than a thousandth of it."""
        change = abs(self.fraud_rate_without_rejected - self.fraud_rate)
        return bool(self.n_rejected) and not change <= _MIN_RELATIVE_CHANGE * self.fraud_rate

    def __str__(self) -> str:
        n_left = self.n_labelled - self.n_rejected
        after = (
            f"{self.fraud_rate_without_rejected:.3%}"
            if n_left
            else "undefined: no labelled row is left"
        )
        return (
            f"{self.n_rejected_frauds:,} of the {self.n_rejected:,} labelled rows that were "
            f"rejected are fraud. The fraud rate of all rows is {self.fraud_rate:.3%}; without the "
            f"rejected ones it is {after}. Correct the rejected rows (see .rejected), or report "
            "the difference wherever you use the rate."
        )


@dataclasses.dataclass(frozen=True, repr=False)
class LoadReport:
    """Result of :func:`load_df`, displayed as a table in a notebook.

    Attributes
    ----------
    table
        Name of the table.
    inserted, updated, skipped
        Numbers of rows.
    rejected
        One row per rejected cell: ``row`` (its position in the data, from 0), ``column``,
        ``value`` (as text; personal data are not shown) and ``reason``.
    seconds
        Duration of the load.
    labels
        For transactions loaded with ``on_invalid="reject"``, how many rows are labelled, and how
        many of them are fraud and were rejected. None if there are no labels.

    Examples
    --------
    >>> import pandas as pd
    >>> rejected = pd.DataFrame(
    ...     [(3, "amount", "-5.0", "must be above 0")],
    ...     columns=["row", "column", "value", "reason"],
    ... )
    >>> report = LoadReport("transactions", 999, 0, 0, rejected, seconds=0.5)
    >>> report
    LoadReport(transactions: 999 inserted, 0 skipped, 1 rejected; 0.50 s, 1,998 rows/s)
    >>> report.to_dict()["rejected_rows"]
    1
    """

    table: str
    inserted: int
    updated: int
    skipped: int
    rejected: pd.DataFrame
    seconds: float
    labels: LabelCounts | None = None

    @property
    def rejected_rows(self) -> int:
        """Number of rejected rows; one row may have several rejected cells."""
        return int(self.rejected["row"].nunique())

    @property
    def rows_per_second(self) -> float:
        """Rows that were inserted or updated, per second."""
        return (self.inserted + self.updated) / self.seconds if self.seconds else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as a dict.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import get_db_manager, get_db_session, load_df
        >>> get_db_manager().create_all_tables()
        >>> df = pd.DataFrame({"merchant_id": ["M1"]})
        >>> with get_db_session() as session:
        ...     report = load_df(df, "merchants", session=session)
        ...     session.rollback()
        >>> report.to_dict()["inserted"]
        1
        """
        names = ("table", "inserted", "updated", "skipped", "rejected_rows", "seconds")
        return {
            **{name: getattr(self, name) for name in (*names, "rows_per_second")},
            "labels": None if self.labels is None else dataclasses.asdict(self.labels),
        }

    @overload
    def to_frame(self, *, output: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def to_frame(self, *, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def to_frame(self, *, output: Literal["arrow"]) -> pa.Table: ...

    def to_frame(self, *, output: Output = "pandas") -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return the counts as a frame with one row, without the labels.

        Parameters
        ----------
        output
            Kind of the frame.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import get_db_manager, get_db_session, load_df
        >>> get_db_manager().create_all_tables()
        >>> df = pd.DataFrame({"merchant_id": ["M1"]})
        >>> with get_db_session() as session:
        ...     report = load_df(df, "merchants", session=session)
        ...     session.rollback()
        >>> report.to_frame()[["table", "inserted"]].values.tolist()
        [['merchants', 1]]
        """
        check_output(output)
        row = {name: [value] for name, value in self.to_dict().items() if name != "labels"}
        return build_frame(row, output)

    def _counts(self) -> list[tuple[str, str]]:
        counts = [
            ("inserted", f"{self.inserted:,}"),
            ("updated", f"{self.updated:,}"),
            ("skipped", f"{self.skipped:,}"),
            ("rejected", f"{self.rejected_rows:,}"),
        ]
        return [(name, count) for name, count in counts if name != "updated" or self.updated]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self._counts())
        return (
            f"LoadReport({self.table}: {counts}{self._rejected_frauds()}; "
            f"{self.seconds:,.2f} s, {self.rows_per_second:,.0f} rows/s)"
        )

    def _rejected_frauds(self) -> str:
        if self.labels is None or not self.rejected_rows:
            return ""
        return f" ({self.labels.n_rejected_frauds:,} of them labelled fraud)"

    def _repr_html_(self) -> str:
        cells = [
            *self._counts(),
            ("seconds", f"{self.seconds:,.2f}"),
            ("rows per second", f"{self.rows_per_second:,.0f}"),
        ]
        head, row = zip(*cells, strict=True)
        text = table_html(
            head, [row], caption=f"Loaded into {self.table}", text_columns=(), row_headers=False
        )
        if len(self.rejected):
            reasons = Counter(zip(self.rejected["column"], self.rejected["reason"], strict=True))
            items = "".join(
                f"<li>{html.escape(column)} {html.escape(reason)}: {count:,}</li>"
                for (column, reason), count in reasons.items()
            )
            text += (
                f"<p>Rejected{self._rejected_frauds()}, see <code>.rejected</code>:</p>"
                f"<ul>{items}</ul>"
            )
        return text
