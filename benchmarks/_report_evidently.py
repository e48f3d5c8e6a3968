"""evidently's classification and drift report of a scored file: run by reports.py.

In an environment of its own: evidently requires pandas 2.
"""

import sys

import pandas as pd
from evidently import BinaryClassification, DataDefinition, Dataset, Report
from evidently.presets import ClassificationPreset, DataDriftPreset


def main(data: str, page: str) -> None:
    """Compare the second half of the file with the first, and write the page."""
    df = pd.read_csv(data, parse_dates=["timestamp"])
    definition = DataDefinition(
        classification=[
            BinaryClassification(target="is_fraud", prediction_probas="score", pos_label=1)
        ],
        numerical_columns=["amount", "score"],
        categorical_columns=["channel"],
        timestamp="timestamp",
    )
    half = len(df) // 2
    reference, current = (
        Dataset.from_pandas(part, data_definition=definition) for part in (df[:half], df[half:])
    )
    result = Report([ClassificationPreset(), DataDriftPreset()]).run(current, reference)
    result.save_html(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
