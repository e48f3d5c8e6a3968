"""Paths of files, and the formats that their names indicate."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from synfin_analytics.exceptions import ArgumentError

CSV = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
EXCEL = (".xlsx",)
ARROW = (".arrow", ".feather", ".ipc")
PARQUET = (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".zst", ".xz", ".zip")
#: The formats, for messages.
SUPPORTED = (
    "Parquet (.parquet), CSV (.csv, .tsv, .txt), JSON lines (.jsonl), Excel (.xlsx) or Arrow "
    "(.arrow, .feather)"
)


def check_path(path: str | Path) -> Path:
    """Return the path of a local file or folder that exists.

    Raises
    ------
    ArgumentError
        It is a URI or does not exist; the message says what to pass instead.

    Examples
    --------
    >>> check_path("s3://bank/rows.parquet")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: The path must be a local file; got a URI. ...
    """
    _refuse_uri(str(path))
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"The file {str(path)!r} does not exist.")
    return path


def _refuse_uri(path: str) -> None:
    # A jdbc: URI has two schemes.
    match = re.match(r"((?:[A-Za-z][A-Za-z0-9+.-]+:)+)/+(.*)", path, re.DOTALL)
    if match and match[1].lower() == "file:":
        raise ArgumentError(f"The path must be a local file; got a URI. Pass {f'/{match[2]}'!r}.")
    if match:
        uri = _without_secrets(f"{match[1]}//{match[2]}")
        raise ArgumentError(
            "The path must be a local file; got a URI. Scan it with polars and pass the "
            f'LazyFrame: pl.scan_parquet("{uri}"), or for CSV '
            'pl.scan_csv(…, infer_schema=False) together with decimal=".", which parses texts. '
            "With pyarrow: pyarrow.dataset.dataset(…).scanner().to_reader()."
        )


def _without_secrets(uri: str) -> str:
    """Return a URI without user, password, options and signature."""
    return re.sub(r"://[^/@]*@", "://", re.split("[?;#]", uri)[0])


def suffix_of(path: Path) -> str:
    """Return the suffix of a file; if it is compressed, that of the file inside.

    Examples
    --------
    >>> suffix_of(Path("a.CSV")), suffix_of(Path("b.csv.gz")), suffix_of(Path("c.2026.parquet"))
    ('.csv', '.csv', '.parquet')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".zip" and path.is_file():
        suffixes = [suffix.lower() for suffix in Path(zip_member(path).filename).suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file, by its name, or a folder of them."""
    return path.is_dir() or suffix_of(path) in PARQUET


def zip_member(path: Path) -> zipfile.ZipInfo:
    """Return the only file in a zip archive.

    Raises
    ------
    ArgumentError
        It has none or several, or is encrypted or broken.
    """
    name = repr(str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                member
                for member in archive.infolist()
                if not (member.is_dir() or member.filename.startswith("__MACOSX/"))
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"{name} cannot be read as a zip archive: {error}.") from None
    if len(members) != 1:
        names = ", ".join(repr(member.filename) for member in members[:5])
        raise ArgumentError(
            f"{name} must contain exactly one file; got {len(members)}"
            f"{f': {names}' if members else ''}{', …' if len(members) > 5 else ''}. "
            "Unpack it, and load each file."
        )
    if members[0].flag_bits & 1:
        raise ArgumentError(f"{name} must not be encrypted: unpack it with its password.")
    return members[0]
