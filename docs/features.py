"""Write the tables of docs/guide/features.md: python docs/features.py."""

from __future__ import annotations

from pathlib import Path

from synfin_analytics.features import definitions_markdown

PAGE = Path(__file__).with_name("guide") / "features.md"
BEGIN, END = "<!-- tables: python docs/features.py -->\n\n", "<!-- end of the tables -->\n"


def main() -> None:
    """Replace the tables between the markers."""
    before, _, following = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = following.partition(END)
    PAGE.write_text(before + BEGIN + definitions_markdown() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
