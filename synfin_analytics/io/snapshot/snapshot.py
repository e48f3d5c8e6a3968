"""A snapshot that has been written: :class:`Snapshot`, and :func:`read_snapshot`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.arguments import check_string
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics._core.transaction_source import TransactionSource
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema import known_versions
from synfin_analytics.exceptions import ArchiveError, ArgumentError, NotFoundError
from synfin_analytics.io.archive._manifest import read_manifest
from synfin_analytics.io.archive._parts import check_part, damaged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics.io.archive._manifest import Manifest

#: Columns of predictions that are joined with their transactions.
_JOINED = ("transaction_id", "prediction", "fraud_probability", "ground_truth", "predicted_at")


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Snapshot(Result, TransactionSource):
    """The tables of a database as they were at one moment.

    Functions that take transactions as a DataFrame take a snapshot, too, and read its transactions:
    ``fraud_rate(snapshot)``. :meth:`predictions` has those of a model together with their
    transactions, for :func:`evaluate` and other functions of scores. Tables are attributes. Nothing
    is read before it is needed.

    ``to_frame()`` returns one row for each table: ``table``, the number of ``rows``, and the
    ``size`` of its file in bytes.

    Attributes
    ----------
    folder
        Folder of the snapshot.
    database
        Name of the database.
    schema_version
        Version of its tables.
    created_at
        Time of the moment, by the clock of the server, ISO 8601 in UTC.
    position
        Position in the write-ahead log (LSN) at that moment.

    Examples
    --------
    >>> import tempfile
    >>> from synfin_analytics import fraud_rate, get_db_manager, write_snapshot
    >>> get_db_manager().create_all_tables()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     snapshot = write_snapshot(f"{folder}/snapshot")
    ...     snapshot.transactions.collect_schema()["amount"]
    Float64
    """

    folder: Path
    database: str
    schema_version: str
    created_at: str
    position: str
    _manifest: Manifest

    @property
    def customers(self) -> pl.LazyFrame:
        """Rows of ``customers``."""
        return self.scan("customers")

    @property
    def merchants(self) -> pl.LazyFrame:
        """Rows of ``merchants``."""
        return self.scan("merchants")

    @property
    def transactions(self) -> pl.LazyFrame:
        """Rows of ``transactions``."""
        return self.scan("transactions")

    @property
    def ml_features(self) -> pl.LazyFrame:
        """Rows of ``ml_features``."""
        return self.scan("ml_features")

    @property
    def model_predictions(self) -> pl.LazyFrame:
        """Rows of ``model_predictions``."""
        return self.scan("model_predictions")

    @property
    def fraud_patterns(self) -> pl.LazyFrame:
        """Rows of ``fraud_patterns``."""
        return self.scan("fraud_patterns")

    @property
    def anomaly_patterns(self) -> pl.LazyFrame:
        """Rows of ``anomaly_patterns``."""
        return self.scan("anomaly_patterns")

    def predictions(self, model_name: str, model_version: str) -> pl.LazyFrame:
        """Return the predictions of a model with their transactions, ordered by time.

        Parameters
        ----------
        model_name, model_version
            Name and version of the model.

        Returns
        -------
        polars.LazyFrame
            A row for each prediction: the columns of the transaction, and ``prediction``,
            ``fraud_probability``, ``ground_truth`` and ``predicted_at``.

        Raises
        ------
        NotFoundError
            The snapshot has no prediction of that model and version.

        Examples
        --------
        >>> import tempfile
        >>> from synfin_analytics import get_db_manager, write_snapshot
        >>> get_db_manager().create_all_tables()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_snapshot(f"{folder}/snapshot").predictions("forest", "1.0")
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no model 'forest 1.0' in the snapshot...
        """
        model = {
            "model_name": check_string(model_name, "model_name", example="rf"),
            "model_version": check_string(model_version, "model_version", example="1.0"),
        }
        rows = self.model_predictions.filter(**model)
        if rows.limit(1).collect().is_empty():
            models = self.model_predictions.select(*model).unique(maintain_order=True).collect()
            names = [" ".join(row) for row in models.iter_rows()]
            name = " ".join(model.values())
            raise NotFoundError("model", name, names or ["none"], location="the snapshot")
        return self.transactions.join(
            rows.select(_JOINED), on="transaction_id", maintain_order="left"
        )

    def scan(self, table: str, *, use_decimal: bool = False) -> pl.LazyFrame:
        """Return a table, to be read when it is needed.

        Parameters
        ----------
        table
            Name of the table.
        use_decimal
            Whether NUMERIC columns are decimals, as in the file; by default they are floats, as
            ``read_df`` returns them.

        Returns
        -------
        polars.LazyFrame
            The rows, ordered by key (transactions by time).

        Raises
        ------
        NotFoundError
            No table has that name.
        ArchiveError
            The file is missing.

        Examples
        --------
        >>> import tempfile
        >>> from synfin_analytics import get_db_manager, write_snapshot
        >>> get_db_manager().create_all_tables()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     snapshot = write_snapshot(f"{folder}/snapshot")
        ...     snapshot.scan("transactions", use_decimal=True).collect_schema()["amount"]
        Decimal(precision=12, scale=2)
        """
        if table not in TABLES:
            raise NotFoundError("table", table, TABLES)
        require_thread_pool()
        paths = []
        for part in self._manifest.parts_of(table):
            paths.append(self.folder / part.path)
            if not paths[-1].is_file():
                raise damaged(self.folder, part, "it is missing")
        if not paths:
            raise ArchiveError(f"The snapshot {str(self.folder)!r} has no table {table!r}.")
        frame = pl.scan_parquet(paths, hive_partitioning=False)
        if use_decimal:
            return frame
        decimals = [
            name for name, dtype in frame.collect_schema().items() if isinstance(dtype, pl.Decimal)
        ]
        return frame.with_columns(pl.col(decimals).cast(pl.Float64)) if decimals else frame

    def verify(self) -> list[str]:
        """Read all files, and compare them with the checksums of the manifest.

        Returns
        -------
        list of str
            One sentence for each difference; empty if there is none.

        Examples
        --------
        >>> import tempfile
        >>> from synfin_analytics import get_db_manager, write_snapshot
        >>> get_db_manager().create_all_tables()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_snapshot(f"{folder}/snapshot").verify()
        []
        """
        return [
            problem for part in self._manifest.parts for problem in check_part(self.folder, part)
        ]

    def _rows(self) -> list[tuple[str, int, int]]:
        return [(part.table, part.rows, part.size) for part in self._manifest.parts]

    def _table(self) -> pl.DataFrame:
        schema = {"table": pl.String, "rows": pl.Int64, "size": pl.Int64}
        return pl.DataFrame(self._rows(), schema, orient="row")

    def _record(self) -> Mapping[str, Any]:
        return {
            "folder": str(self.folder),
            "database": self.database,
            "schema_version": self.schema_version,
            "created_at": self.created_at,
            "position": self.position,
            "rows": {table: rows for table, rows, _ in self._rows()},
        }

    def __repr__(self) -> str:
        rows = sum(rows for _, rows, _ in self._rows())
        return (
            f"Snapshot({str(self.folder)!r}: {pluralize(rows, 'row')} of {self.database!r} at "
            f"{self.created_at})"
        )

    def _repr_html_(self) -> str:
        rows = [(table, f"{rows:,}", f"{size:,}") for table, rows, size in self._rows()]
        return table_html(["table", "rows", "bytes"], rows, caption=repr(self))


def read_snapshot(folder: str | Path, *, verify: bool = False) -> Snapshot:
    """Open the folder of a snapshot.

    Parameters
    ----------
    folder
        Folder that :func:`write_snapshot` wrote.
    verify
        Whether to read all files and compare them with the checksums of the manifest.

    Returns
    -------
    Snapshot
        Its tables as LazyFrames of polars.

    Raises
    ------
    ArchiveError
        The folder is not a complete snapshot of this version of the tables, a file is missing or
        has another size than it had, or with ``verify`` another content.

    Examples
    --------
    >>> import tempfile
    >>> from synfin_analytics import get_db_manager, write_snapshot
    >>> get_db_manager().create_all_tables()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_snapshot(f"{folder}/snapshot")
    ...     len(read_snapshot(f"{folder}/snapshot", verify=True).to_frame())
    7
    """
    if not isinstance(folder, str | Path):
        raise ArgumentError(
            f"`folder` must be the path of a folder; got an object of type {type(folder).__name__}."
        )
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.kind != "snapshot":
        raise ArchiveError(
            f"{str(folder)!r} must be a snapshot; it is an archive, which holds only months of "
            "transactions. Pass it as `archive=` of read_df."
        )
    latest = known_versions()[-1]
    if manifest.schema_version != latest:
        raise ArchiveError(
            f"{str(folder)!r} has version {manifest.schema_version} of the tables; this package "
            f"reads {latest}. Write a new snapshot, or use the package that wrote it."
        )
    snapshot = open_manifest(folder, manifest)
    for part in manifest.parts:
        path = folder / part.path
        if not path.is_file():
            raise damaged(folder, part, "it is missing")
        if path.stat().st_size != part.size:
            raise damaged(folder, part, "it has another size than the manifest says")
    if verify and (problems := snapshot.verify()):
        raise ArchiveError(
            f"The snapshot {str(folder)!r} is damaged: {'; '.join(problems)}. Write a new one."
        )
    return snapshot


def open_manifest(folder: Path, manifest: Manifest) -> Snapshot:
    """Return the snapshot of a manifest.

    Raises
    ------
    ArchiveError
        The manifest lacks a fact.
    """
    try:
        return Snapshot(
            folder=folder,
            database=manifest.identity.database,
            schema_version=manifest.schema_version,
            created_at=manifest.details["time"],
            position=manifest.details["position"],
            _manifest=manifest,
        )
    except KeyError:
        raise ArchiveError(f"The manifest of {str(folder)!r} is damaged.") from None
