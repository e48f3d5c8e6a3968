"""Layouts of well-known public data sets.

None of the data is here: each is its publisher's, under its own licence.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import polars as pl

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.layouts.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable


def list_layouts() -> list[str]:
    """Names of the known layouts.

    Examples
    --------
    >>> list_layouts()
    ['banksim', 'handbook', 'paysim', 'sparkov', 'tabformer']
    """
    return sorted(LAYOUTS)


def layout_named(name: str) -> Layout:
    """Layout by its name; an unknown one comes with the nearest."""
    if not isinstance(name, str):
        raise ArgumentError(
            "`layout` must be the name of a known layout, or a Layout({...}) of your own columns; "
            f"got {type(name).__name__}."
        )
    if name not in LAYOUTS:
        raise NotFoundError("layout", name, LAYOUTS)
    return LAYOUTS[name]


def variant_for(layout: Layout, columns: Iterable[str]) -> Layout:
    """Return the variant of a known layout all of whose columns are there; else the layout."""
    known = set(columns)
    for variant in VARIANTS.get(layout.name, ()) if layout in LAYOUTS.values() else ():
        if set(variant.columns) <= known:
            return variant
    return layout


def _unquoted(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars("'")


def _coded(column: pl.Expr, codes: dict[str, str]) -> pl.Expr:
    """Text by its code; one that is not listed is refused by the table, and so told."""
    return column.replace(codes)


def _token(numbers: pl.Series) -> pl.Series:
    """Replace card numbers by tokens, the same for the same card in every file.

    The tables hold no card number. Those of a simulation belong to nobody; a bank's own are not
    hidden by a hash without a key, since all of them can be tried.
    """
    texts = numbers.cast(pl.String)
    tokens = {
        text: f"card_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        for text in texts.unique().drop_nulls()
    }
    return texts.replace_strict(tokens, default=None, return_dtype=pl.String)


def _zip(name: str) -> pl.Expr:
    """Five digits again, of what was a number in between."""
    return pl.col(name).cast(pl.String).str.strip_suffix(".0").str.zfill(5)


_GENDER = {"F": "female", "M": "male", "E": "other", "U": "unknown"}
_HANDBOOK = Layout(
    name="handbook",
    about="Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022), simulated",
    transactions={
        "transaction_id": "TRANSACTION_ID",
        "customer_id": "CUSTOMER_ID",
        "merchant_id": "TERMINAL_ID",
        "terminal_id": "TERMINAL_ID",
        "amount": "TX_AMOUNT",
        "timestamp": "TX_DATETIME",
        "is_fraud": "TX_FRAUD",
        "fraud_type": pl.col("TX_FRAUD_SCENARIO")
        .cast(pl.Float64)
        .replace_strict(
            {
                0.0: None,
                1.0: "amount_over_220",
                2.0: "compromised_terminal",
                3.0: "leaked_credentials",
            },
            return_dtype=pl.String,
        ),
    },
)
_CARD = pl.col("cc_num").map_batches(_token, return_dtype=pl.String, is_elementwise=True)
# Every name in that data begins with "fraud_", of genuine payments too.
_SHOP = pl.col("merchant").cast(pl.String).str.strip_prefix("fraud_")
_SPARKOV = Layout(
    name="sparkov",
    about="fraudTrain.csv and fraudTest.csv on Kaggle: Sparkov_Data_Generation, simulated",
    transactions={
        "transaction_id": "trans_num",
        "customer_id": _CARD,
        "card_id": _CARD,
        "merchant_id": _SHOP,
        "amount": "amt",
        "currency": pl.lit("USD"),
        "timestamp": "trans_date_trans_time",
        "latitude": "merch_lat",
        "longitude": "merch_long",
        "merchant_category": "category",
        "is_online": pl.when(pl.col("category").str.ends_with("_net"))
        .then(statement=True)
        .when(pl.col("category").str.ends_with("_pos"))
        .then(statement=False),
        "is_fraud": "is_fraud",
    },
    customers={
        "customer_id": _CARD,
        "first_name": "first",
        "last_name": "last",
        "gender": _coded(pl.col("gender"), _GENDER),
        "date_of_birth": "dob",
        "occupation": "job",
        "address": "street",
        "city": "city",
        "state": "state",
        "zip_code": _zip("zip"),
        "latitude": "lat",
        "longitude": "long",
    },
    merchants={"merchant_id": _SHOP, "name": _SHOP, "category": "category"},
)
#: What Sparkov_Data_Generation itself writes: fields between |, and the day apart from the time.
_SPARKOV_GENERATOR = dataclasses.replace(
    _SPARKOV,
    transactions={
        **_SPARKOV.transactions,
        "timestamp": pl.concat_str(
            pl.col("trans_date").cast(pl.String),
            pl.col("trans_time").cast(pl.String),
            separator=" ",
        ),
    },
)
_PAYSIM = Layout(
    name="paysim",
    about="PaySim (Lopez-Rojas, Elmir, Axelsson, 2016): mobile money, simulated; hours from 1",
    transactions={
        "customer_id": "nameOrig",
        "merchant_id": "nameDest",
        "amount": "amount",
        "timestamp": pl.duration(hours=pl.col("step").cast(pl.Int64) - 1),
        "transaction_type": _coded(
            pl.col("type").str.replace("-", "_", literal=True),
            {
                "CASH_IN": "deposit",
                "CASH_OUT": "withdrawal",
                "DEBIT": "withdrawal",  # to an account at a bank
                "PAYMENT": "payment",
                "TRANSFER": "transfer",
            },
        ),
        "channel": pl.lit("mobile"),
        "is_fraud": "isFraud",
    },
)
_DOLLARS = pl.col("Amount").cast(pl.String)
_ONLINE = pl.col("Use Chip") == "Online Transaction"
_TABFORMER = Layout(
    name="tabformer",
    about="IBM's TabFormer (Padhi and others, 2021): credit cards in the USA, simulated",
    transactions={
        "customer_id": "User",
        "card_id": pl.concat_str(
            pl.col("User").cast(pl.String), pl.col("Card").cast(pl.String), separator="-"
        ),
        "merchant_id": "Merchant Name",
        # What is paid back has a minus; a transaction here has an amount, and a type.
        "amount": _DOLLARS.str.replace(r"^-?\$?-?", ""),
        "transaction_type": pl.when(_DOLLARS.str.contains(r"^\$?-"))
        .then(pl.lit("refund"))
        .otherwise(pl.lit("purchase")),
        "currency": pl.lit("USD"),
        "timestamp": pl.concat_str(
            pl.col("Year").cast(pl.String),
            pl.lit("-"),
            pl.col("Month").cast(pl.String).str.zfill(2),
            pl.lit("-"),
            pl.col("Day").cast(pl.String).str.zfill(2),
            pl.lit(" "),
            pl.col("Time").cast(pl.String),
        ).str.to_datetime("%Y-%m-%d %H:%M"),
        "entry_mode": _coded(
            pl.col("Use Chip"),
            {
                "Swipe Transaction": "magstripe",
                "Chip Transaction": "chip",
                "Online Transaction": "ecommerce",
            },
        ),
        "is_online": _ONLINE,
        "channel": pl.when(_ONLINE).then(pl.lit("online")).otherwise(pl.lit("pos")),
        "merchant_city": "Merchant City",
        "state": "Merchant State",
        "zip_code": _zip("Zip"),
        "merchant_category": pl.col("MCC").cast(pl.String).str.zfill(4),
        "status": pl.when(pl.col("Errors?").is_null())
        .then(pl.lit("completed"))
        .otherwise(pl.lit("declined")),
        "is_fraud": _coded(pl.col("Is Fraud?"), {"Yes": "1", "No": "0"}),
    },
    merchants={
        "merchant_id": "Merchant Name",
        "mcc_code": pl.col("MCC").cast(pl.String).str.zfill(4),
        "city": "Merchant City",
        "state": "Merchant State",
    },
)
_BANKSIM = Layout(
    name="banksim",
    about="BankSim (Lopez-Rojas, Axelsson, 2014): card payments in Spain, simulated; days from 0",
    transactions={
        "customer_id": _unquoted("customer"),
        "merchant_id": _unquoted("merchant"),
        "amount": "amount",
        "currency": pl.lit("EUR"),
        "timestamp": pl.duration(days=pl.col("step").cast(pl.Int64)),
        "merchant_category": _unquoted("category").str.strip_prefix("es_"),
        "is_fraud": "fraud",
    },
    customers={
        "customer_id": _unquoted("customer"),
        "gender": _coded(_unquoted("gender"), _GENDER),
        "zip_code": _unquoted("zipcodeOri"),
    },
    merchants={
        "merchant_id": _unquoted("merchant"),
        "category": _unquoted("category").str.strip_prefix("es_"),
    },
)

#: Other files of a known layout, which differ in their columns.
VARIANTS = {"sparkov": (_SPARKOV_GENERATOR,)}
LAYOUTS = {one.name: one for one in (_BANKSIM, _HANDBOOK, _PAYSIM, _SPARKOV, _TABFORMER)}
