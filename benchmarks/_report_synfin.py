"""Our model report of a scored file: run by reports.py in a process of its own."""

import sys

from synfin_analytics import model_report


def main(data: str, page: str) -> None:
    """Report on the scores of the file, with all optional columns."""
    report = model_report(
        data, label="is_fraud", score="score", timestamp="timestamp", customer="customer_id",
        amount="amount", by=["channel"],
    )  # fmt: skip
    report.save(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
