"""What a detector is: a rule with its thresholds, and what it found."""

from __future__ import annotations

import dataclasses
import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics.detection._bursts import NONE
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from synfin_analytics.detection._context import Ledger

#: Columns of what a detector finds that are no figures of the episode.
FOUND = ("place", "episode", "strength", "subject")


@dataclasses.dataclass(frozen=True)
class Detector(ABC):
    """A rule that finds one pattern in transactions; its fields are its thresholds."""

    #: As in ``pattern_type``.
    name: ClassVar[str]
    title: ClassVar[str]
    #: Whom an episode is about: its customers, or its merchants. Who these are is all of them,
    #: unless the rows found say otherwise (``subject``).
    about: ClassVar[str] = "customers"
    #: Optional columns without which it cannot look.
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            limits = value if isinstance(value, tuple) else (value,)
            for each in limits:
                zero = dt.timedelta(0) if isinstance(each, dt.timedelta) else 0
                if not each > zero:
                    raise ArgumentError(
                        f"{type(self).__name__}: `{field.name}` must be greater than 0; "
                        f"got {value!r}."
                    )

    @abstractmethod
    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find the pattern.

        Returns
        -------
        polars.DataFrame
            A row for each transaction concerned: its ``place`` in the ledger, the number of its
            ``episode``, the ``strength`` of the evidence for that from 0 to 1, perhaps whom it is
            about (``subject``), and figures of the episode, the same in all of its rows.
        """

    @abstractmethod
    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence, from its figures."""


def hits(episode: NDArray[np.int64], **columns: ArrayLike) -> pl.DataFrame:
    """Rows that are in an episode, with other columns of theirs."""
    places = np.flatnonzero(episode != NONE)
    given = {name: np.asarray(values)[places] for name, values in columns.items()}
    return pl.DataFrame({"place": places, "episode": episode[places], **given})


def grown(value: pl.Expr, at: float, full: float) -> pl.Expr:
    """Evidence of a figure: 0.5 at the threshold, 1 where it is beyond doubt, linear between.

    Examples
    --------
    >>> pl.DataFrame({"n": [4, 6, 20]}).select(grown(pl.col("n"), 4, 8)).to_series().to_list()
    [0.5, 0.75, 1.0]
    """
    return (0.5 + 0.5 * (value - at) / (full - at)).clip(0.0, 1.0)


def nothing(**figures: Any) -> pl.DataFrame:
    """No episode at all."""
    schema = {"place": pl.Int64(), "episode": pl.Int64(), "strength": pl.Float64(), **figures}
    return pl.DataFrame(schema=schema)
