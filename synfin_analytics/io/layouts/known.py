"""Layouts of well-known public data sets.

The data sets themselves are not included: their publishers license them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import polars as pl

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.layouts._mapping import columns_named
from synfin_analytics.io.layouts.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from synfin_analytics.io.layouts.layout import ColumnMapping


def list_layouts() -> list[str]:
    """Return the names of the known layouts.

    Returns
    -------
    list of str
        Names that :func:`synfin_analytics.read_layout` accepts, in alphabetical order.

    Examples
    --------
    >>> list_layouts()
    ['amlworld', 'banksim', 'handbook', 'ieee_cis', 'paysim', 'sparkov', 'synfinance', 'tabformer']
    """
    return sorted(LAYOUTS)


def get_layout(name: str) -> Layout:
    """Return a known layout by its name.

    Raises
    ------
    NotFoundError
        There is no such layout; the message names the nearest.

    Examples
    --------
    >>> get_layout("handbook").transactions["amount"]
    'TX_AMOUNT'
    """
    if not isinstance(name, str):
        raise ArgumentError(
            "`layout` must be the name of a known layout, or a Layout({...}) of your columns; "
            f"got {type(name).__name__}."
        )
    if name not in LAYOUTS:
        raise NotFoundError("layout", name, LAYOUTS)
    return LAYOUTS[name]


def variants_of(layout: Layout) -> tuple[Layout, ...]:
    """Return a layout and, if it is a known one, its variants with other columns."""
    return (layout, *(VARIANTS.get(layout.name, ()) if layout in LAYOUTS.values() else ()))


def select_variant(layout: Layout, columns: Iterable[str]) -> Layout:
    """Return the first variant of a layout whose columns all exist, or the layout itself."""
    existing = set(columns)
    variants = variants_of(layout)
    return next((variant for variant in variants if set(variant.columns) <= existing), layout)


#: Data sets that name neither customers nor merchants, by some of their columns.
_WITHOUT_CUSTOMERS = {
    "creditcard.csv of the ULB": {"Time", "V1", "V28", "Amount", "Class"},
    "The data set Bank Account Fraud (BAF)": {"fraud_bool", "income", "name_email_similarity"},
}


def find_without_customers(columns: Iterable[str]) -> str | None:
    """Return the data set without customers and merchants that has such columns, if it is known.

    Examples
    --------
    >>> find_without_customers(["Time", *(f"V{n}" for n in range(1, 29)), "Amount", "Class"])
    'creditcard.csv of the ULB'
    """
    existing = set(columns)
    return next((name for name, own in _WITHOUT_CUSTOMERS.items() if own <= existing), None)


def _without(layout: Layout, *names: str) -> Layout:
    """Return a layout without what it computes from some columns, which a file may lack."""

    def select(mapping: ColumnMapping) -> dict[str, str | pl.Expr]:
        return {
            column: source
            for column, source in mapping.items()
            if set(names).isdisjoint([source] if isinstance(source, str) else columns_named(source))
        }

    return dataclasses.replace(
        layout,
        transactions=select(layout.transactions),
        customers=select(layout.customers),
        merchants=select(layout.merchants),
    )


def _strip_quotes(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars("'")


def _decode(column: pl.Expr, codes: dict[str, str]) -> pl.Expr:
    """Replace codes by texts; the table rejects an unknown code, and reports it."""
    return column.replace(codes)


def _tokenize(numbers: pl.Series) -> pl.Series:
    """Replace card numbers by tokens, the same for the same card in every file.

    The tables hold no card numbers. A hash without a key suits simulated numbers only: real ones
    could be found by trying all numbers.
    """
    texts = numbers.cast(pl.String)
    tokens = {
        text: f"card_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        for text in texts.unique().drop_nulls()
    }
    return texts.replace_strict(tokens, default=None, return_dtype=pl.String)


def _zip_code(name: str) -> pl.Expr:
    """Restore the five digits of a code that was converted to a number."""
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
_CARD = pl.col("cc_num").map_batches(_tokenize, return_dtype=pl.String, is_elementwise=True)
# Every merchant of this data set begins with "fraud_", also in genuine transactions.
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
        "gender": _decode(pl.col("gender"), _GENDER),
        "date_of_birth": "dob",
        "occupation": "job",
        "address": "street",
        "city": "city",
        "state": "state",
        "zip_code": _zip_code("zip"),
        "latitude": "lat",
        "longitude": "long",
    },
    merchants={"merchant_id": _SHOP, "name": _SHOP, "category": "category"},
)
#: Output of Sparkov_Data_Generation itself: separated by |, with the date apart from the time.
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
        "transaction_type": _decode(
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
        # A refund has a negative amount there; here it has a type of its own.
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
        "entry_mode": _decode(
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
        "zip_code": _zip_code("Zip"),
        "merchant_category": pl.col("MCC").cast(pl.String).str.zfill(4),
        "status": pl.when(pl.col("Errors?").is_null())
        .then(pl.lit("completed"))
        .otherwise(pl.lit("declined")),
        "is_fraud": _decode(pl.col("Is Fraud?"), {"Yes": "1", "No": "0"}),
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
        "customer_id": _strip_quotes("customer"),
        "merchant_id": _strip_quotes("merchant"),
        "amount": "amount",
        "currency": pl.lit("EUR"),
        "timestamp": pl.duration(days=pl.col("step").cast(pl.Int64)),
        "merchant_category": _strip_quotes("category").str.strip_prefix("es_"),
        "is_fraud": "fraud",
    },
    customers={
        "customer_id": _strip_quotes("customer"),
        "gender": _decode(_strip_quotes("gender"), _GENDER),
        "zip_code": _strip_quotes("zipcodeOri"),
    },
    merchants={
        "merchant_id": _strip_quotes("merchant"),
        "category": _strip_quotes("category").str.strip_prefix("es_"),
    },
)


def _join_texts(*names: str) -> pl.Expr:
    """Join codes by hyphens, the same whether a program read them as texts, integers or floats."""
    codes = [pl.col(name).cast(pl.String).str.strip_suffix(".0").fill_null("") for name in names]
    return pl.concat_str(codes, separator="-")


_IEEE_CARD = _join_texts("card1", "card2", "card3", "card5", "addr1")
_IEEE_CIS = Layout(
    name="ieee_cis",
    about="IEEE-CIS Fraud Detection (Vesta, 2019): online payments in US dollars, anonymised",
    join_on="TransactionID",
    transactions={
        "transaction_id": "TransactionID",
        # The data name no customers and no merchants: see docs/guide/layouts.md.
        "customer_id": _IEEE_CARD,
        "card_id": _IEEE_CARD,
        "merchant_id": "ProductCD",
        # Amounts that were converted from other currencies have three decimals.
        "amount": pl.col("TransactionAmt").cast(pl.Float64).round(2),
        "currency": pl.lit("USD"),
        "timestamp": pl.duration(seconds=pl.col("TransactionDT").cast(pl.Int64) - 86_400),
        "card_type": pl.col("card6").replace({"charge card": "charge", "debit or credit": None}),
        "channel": pl.lit("online"),
        "is_online": pl.lit(value=True),
        "device_type": "DeviceType",
        "is_fraud": "isFraud",
    },
)


def _account(bank: str, account: str) -> pl.Expr:
    """Name an account by its bank, whose number some programs read without its leading zeros."""
    number = pl.col(bank).cast(pl.String).str.replace("^0+([0-9])", "$1")
    return pl.concat_str(number, pl.col(account).cast(pl.String), separator="-")


_CURRENCIES = {
    "Australian Dollar": "AUD",
    "Bitcoin": "XBT",
    "Brazil Real": "BRL",
    "Canadian Dollar": "CAD",
    "Euro": "EUR",
    "Mexican Peso": "MXN",
    "Ruble": "RUB",
    "Rupee": "INR",
    "Saudi Riyal": "SAR",
    "Shekel": "ILS",
    "Swiss Franc": "CHF",
    "UK Pound": "GBP",
    "US Dollar": "USD",
    "Yen": "JPY",
    "Yuan": "CNY",
}
_AMLWORLD = Layout(
    name="amlworld",
    about="AMLworld (Altman and others, 2023), HI- and LI-*_Trans.csv: transfers, simulated",
    transactions={
        "customer_id": _account("From Bank", "Account"),
        "merchant_id": _account("To Bank", "Account.1"),
        "amount": "Amount Paid",
        "currency": _decode(pl.col("Payment Currency"), _CURRENCIES),
        "timestamp": pl.col("Timestamp").cast(pl.String).str.replace_all("/", "-", literal=True),
        "category": "Payment Format",
        "payment_method": _decode(
            pl.col("Payment Format"),
            {
                "ACH": "bank_transfer",
                "Bitcoin": "other",
                "Cash": "cash",
                "Cheque": "cheque",
                "Credit Card": "credit_card",
                "Reinvestment": "other",
                "Wire": "bank_transfer",
            },
        ),
        "is_fraud": "Is Laundering",
    },
)
#: polars numbers the second column `Account` in another way than pandas and our reader.
_AMLWORLD_POLARS = dataclasses.replace(
    _AMLWORLD,
    transactions={
        **_AMLWORLD.transactions,
        "merchant_id": _account("To Bank", "Account_duplicated_0"),
    },
)
# pandas reads the text "None" as missing.
_FRAUD_TYPE = pl.col("Fraud_Type").fill_null("None")
_SYNFINANCE = Layout(
    name="synfinance",
    about="SynFinance (ssuptrey): payments in India, simulated; times are local",
    transactions={
        "transaction_id": "Transaction_ID",
        "customer_id": "Customer_ID",
        "merchant_id": "Merchant_ID",
        "amount": "Amount",
        "currency": "Currency",
        "timestamp": pl.concat_str(
            pl.col("Date").cast(pl.String), pl.col("Time").cast(pl.String), separator=" "
        ),
        "category": "Category",
        "payment_method": _decode(
            pl.col("Payment_Mode"),
            {
                "Cash": "cash",
                "Credit Card": "credit_card",
                "Debit Card": "debit_card",
                "EMI": "other",
                "Net Banking": "bank_transfer",
                "UPI": "bank_transfer",
                "Wallet": "digital_wallet",
            },
        ),
        "card_type": pl.col("Card_Type").replace({"NA": None}).str.to_lowercase(),
        "status": pl.col("Transaction_Status").str.to_lowercase(),
        "channel": pl.col("Transaction_Channel").str.to_lowercase(),
        "is_online": "Is_Online",
        "device_type": pl.col("Device_Type")
        .replace({"Web": "desktop", "POS": "terminal"})
        .str.to_lowercase(),
        "city": "City",
        "state": "State",
        "merchant_city": "Merchant_City",
        "merchant_category": "Subcategory",
        "distance_from_home": "Distance_from_Home",
        "time_since_last_transaction": pl.col("Time_Since_Last_Txn").cast(pl.Float64) * 60,
        "is_fraud": _FRAUD_TYPE != "None",
        "fraud_type": _FRAUD_TYPE.replace({"None": None})
        .str.to_lowercase()
        .str.replace_all(" ", "_", literal=True),
    },
    customers={
        "customer_id": "Customer_ID",
        "age": "Customer_Age",
        "city": "Home_City",
        "income_level": pl.col("Customer_Income_Bracket").replace(
            {
                "Low": "low",
                "Lower Middle": "low",
                "Middle": "medium",
                "Upper Middle": "medium",
                "High": "high",
                "Premium": "high",
            }
        ),
    },
    merchants={
        "merchant_id": "Merchant_ID",
        "name": "Merchant",
        "category": "Category",
        "city": "Merchant_City",
    },
)

#: Variants of known layouts with other columns, the preferred ones first.
VARIANTS = {
    "amlworld": (_AMLWORLD_POLARS,),
    "ieee_cis": (
        _without(_IEEE_CIS, "DeviceType"),  # without the identity file
        _without(_IEEE_CIS, "isFraud"),  # of the test set
        _without(_IEEE_CIS, "DeviceType", "isFraud"),
    ),
    "sparkov": (_SPARKOV_GENERATOR,),
    "synfinance": (_without(_SYNFINANCE, "Fraud_Type"),),
}
LAYOUTS = {
    layout.name: layout
    for layout in (
        _AMLWORLD,
        _BANKSIM,
        _HANDBOOK,
        _IEEE_CIS,
        _PAYSIM,
        _SPARKOV,
        _SYNFINANCE,
        _TABFORMER,
    )
}
