"""Weights of transactions: a column of them, or one for each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import narwhals as nw

from synfin_analytics._core.arguments import check_column_name, check_number, format_value
from synfin_analytics.exceptions import ArgumentError

#: What a weight must be.
WEIGHT_RULE = "a finite number of at least 0"
#: A column of weights, or the weight of each label, such as ``{False: 50.0, True: 1.0}``.
Weight: TypeAlias = "str | Mapping[bool, float] | Mapping[int, float]"


@dataclass(frozen=True)
class LabelWeights:
    """How many transactions each genuine transaction and each fraud stands for.

    They multiply counts, so that all engines and PostgreSQL have the same sums of them.

    Examples
    --------
    >>> weights = LabelWeights(10, 1)
    >>> weights.apply(100, 5), weights.apply(5, 5)  # 95 genuine transactions and 5 frauds
    (955, 5)
    >>> str(weights)
    '10 for each genuine transaction and 1 for each fraud'
    """

    genuine: float
    fraud: float

    @classmethod
    def parse(cls, weights: Mapping[Any, Any]) -> LabelWeights:
        """Parse a dict with the weight of both labels.

        Raises
        ------
        ArgumentError
            A label or its weight is missing or invalid.

        Examples
        --------
        >>> LabelWeights.parse({0: 50, 1: 1})
        LabelWeights(genuine=50.0, fraud=1.0)
        """
        if set(weights) != {False, True}:
            raise ArgumentError(
                "`weight` must have a weight for both labels, such as {False: 50.0, True: 1.0}; "
                f"got {format_value(dict(weights))}."
            )
        return cls(
            *(
                check_number(weights[label], f"weight[{label}]", WEIGHT_RULE, minimum=0)
                for label in (False, True)
            )
        )

    def apply(self, transactions: Any, frauds: Any) -> Any:
        """Return a sum over transactions, weighted, from that over all and that over frauds."""
        return (transactions - frauds) * self.genuine + frauds * self.fraud

    def apply_to_frame(
        self, counts: nw.DataFrame[Any], *columns: tuple[str, str]
    ) -> nw.DataFrame[Any]:
        """Weight pairs of columns: sums over transactions, and over frauds among them.

        A sum over frauds that has no sum over transactions in the frame is weighted, too.
        """
        weighted = []
        for total, fraud in columns:
            frauds = nw.col(fraud).cast(nw.Float64)
            if total in counts.columns:
                transactions = nw.col(total).cast(nw.Float64)
                weighted.append(self.apply(transactions, frauds).alias(total))
            if fraud in counts.columns:
                weighted.append(self.apply(frauds, frauds).alias(fraud))
        return counts.with_columns(*weighted)

    def __str__(self) -> str:
        return f"{self.genuine:g} for each genuine transaction and {self.fraud:g} for each fraud"


def parse_weight(weight: Any) -> str | LabelWeights | None:
    """Return the name of a column, parsed weights of labels, or None.

    Raises
    ------
    ArgumentError
        ``weight`` is neither, or a weight is negative or infinite.

    Examples
    --------
    >>> parse_weight({False: 50.0, True: 1.0})
    LabelWeights(genuine=50.0, fraud=1.0)
    """
    if weight is None or isinstance(weight, LabelWeights):
        return weight
    if isinstance(weight, Mapping):
        return LabelWeights.parse(weight)
    return check_column_name(weight, "weight")
