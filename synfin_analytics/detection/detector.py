"""The interface of all detectors: a rule with thresholds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import polars as pl

    from synfin_analytics.detection._context import DetectionContext


@dataclasses.dataclass(frozen=True)
class Detector(ABC):
    """A rule that finds one pattern in transactions; its fields are its thresholds.

    Raises
    ------
    ArgumentError
        A threshold is not greater than 0.

    Examples
    --------
    >>> from synfin_analytics.detection import RefundAbuse
    >>> RefundAbuse(min_count=5)
    RefundAbuse(min_count=5, window=datetime.timedelta(days=30))
    """

    #: Value of ``pattern_type``, and title.
    name: ClassVar[str]
    title: ClassVar[str]
    #: Whom an episode is about: all of its "customers", or all of its "merchants", unless its rows
    #: have a column ``subject``.
    subject_type: ClassVar[str] = "customers"
    #: Optional columns that the detector requires.
    required_columns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for threshold in value if isinstance(value, tuple) else (value,):
                zero = dt.timedelta(0) if isinstance(threshold, dt.timedelta) else 0
                if not threshold > zero:
                    raise ArgumentError(
                        f"{type(self).__name__}: `{field.name}` must be greater than 0; "
                        f"got {value!r}."
                    )

    @abstractmethod
    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern.

        Returns
        -------
        polars.DataFrame
            One row for each transaction of an episode: ``row``, its number in the context;
            ``episode``, the number of the episode; ``evidence`` for the episode, from 0 to 1;
            optionally ``subject``, whom it is about; and figures of the episode, the same in all of
            its rows.
        """

    @abstractmethod
    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence, from its figures."""
