"""What the columns of unknown data are, by their names, types and cells."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import polars as pl

from synfin_analytics._core.formatting import format_percent
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.io.layouts._detect import (
    DATE_LIKE,
    NUMBER_LIKE,
    TIME_OF_DAY,
    Shapes,
    detect_dates,
    detect_numbers,
)
from synfin_analytics.io.layouts.layout import spec_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Confidence: TypeAlias = Literal["high", "medium", "low"]

#: Share of the cells that must fit a name; the others may be dirty.
_MIN_SHARE = 0.5
#: Share of the cells that must fit without a name.
_MIN_SHARE_ALONE = 0.9
#: Spellings of labels. The loader reads the numbers and English truth values among them by itself.
POSITIVE = frozenset(
    {"1", "1.0", "true", "t", "yes", "y", "ja", "j", "oui", "o", "si", "s", "fraud", "fraudulent",
     "betrug", "fraude", "bad", "positive", "pos", "verdadero", "vrai", "wahr"}
)  # fmt: skip
NEGATIVE = frozenset(
    {"0", "0.0", "false", "f", "no", "n", "nein", "non", "legit", "legitimate", "genuine",
     "normal", "good", "ok", "negative", "neg", "not fraud", "non-fraud", "nonfraud", "no fraud",
     "falso", "faux", "falsch"}
)  # fmt: skip
LOADABLE = frozenset({"1", "1.0", "true", "t", "0", "0.0", "false", "f"})
_IBAN = r"^[A-Z]{2}[0-9]{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}$"
#: A date that may as well be a number, so that a name must say it.
_COMPACT_DATE = "^(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$"
_CARD_NUMBER = r"^[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}$"
#: Words that a name may have besides those of its subject, such as `id` in `customer_id`.
_ID_WORDS = frozenset(
    {"id", "ids", "no", "nr", "num", "number", "nummer", "numero", "code", "key", "hash", "token",
     "n", "name", "nom", "nombre", "ref", "reference", "uuid", "orig", "dest", "source", "target"}
)  # fmt: skip
#: Length of one step of columns that count time from the beginning of the data.
STEPS = {"step": "hours", "transactiondt": "seconds", "time": "seconds", "txtimeseconds": "seconds"}


class Sample:
    """The first rows of a column.

    Parameters
    ----------
    series
        Cells, in the type of the data.
    textual
        Whether its texts are to be parsed, as those of a CSV file.
    """

    def __init__(self, series: pl.Series, *, textual: bool) -> None:
        self.name = series.name
        self.textual = textual
        self.is_text = series.dtype in (pl.String, pl.Categorical, pl.Enum)
        cells = series.cast(pl.String).str.strip_chars() if self.is_text else series
        cells = cells.drop_nulls()
        self.cells = cells.filter(cells != "") if self.is_text else cells
        self.words = split_words(self.name)
        self.key = "".join(self.words)

    def share(self, pattern: str) -> float:
        """Return the share of texts that match a pattern."""
        if not self.is_text or self.cells.is_empty():
            return 0.0
        return float(self.cells.str.contains(pattern).mean())  # type: ignore[arg-type]

    @cached_property
    def numbers(self) -> pl.Series | None:
        """The cells as numbers; None if they are none."""
        if self.cells.dtype.is_numeric():
            numbers = self.cells.cast(pl.Float64)
            return numbers.filter(numbers.is_finite())
        if self.share(NUMBER_LIKE) < _MIN_SHARE:
            return None
        spec = spec_for("transactions").columns["amount_last_day"]
        spec = dataclasses.replace(spec, kind="number", dtype=pl.Float64(), rule=None)
        options = detect_numbers([Shapes(spec).add(self.cells)], ReadOptions())
        numbers = validate_column(self.cells, spec, options=options).cells.drop_nulls()
        return numbers if len(numbers) >= _MIN_SHARE * len(self.cells) else None

    @cached_property
    def is_time(self) -> bool:
        """Whether the cells are dates or times."""
        if self.cells.dtype in (pl.Date, pl.Datetime):
            return not self.cells.is_empty()
        return self.share(DATE_LIKE) >= _MIN_SHARE

    @cached_property
    def is_date_only(self) -> bool:
        """Whether the cells are dates without a time of day."""
        return self.cells.dtype == pl.Date or (self.is_text and self.share(":") < 0.1)

    @cached_property
    def date_formats(self) -> list[str | None]:
        """The formats of dates that are texts."""
        spec = spec_for("transactions").columns["timestamp"]
        return detect_dates(Shapes(spec).add(self.cells), ReadOptions())

    @cached_property
    def n_distinct(self) -> int:
        """Number of distinct cells."""
        return self.cells.n_unique()

    @cached_property
    def labels(self) -> dict[str, bool] | None:
        """What each spelling means, if the cells are labels."""
        if self.n_distinct > 8 or self.cells.is_empty() or self.cells.dtype.is_nested():
            return None
        counts = self.cells.cast(pl.String).value_counts().sort("count", descending=True)
        labels = read_labels(counts.to_series())
        unknown = counts.filter(~counts.to_series().is_in(list(labels)))
        is_number = re.compile(r"[-+]?[0-9.,]+").fullmatch
        if any(map(is_number, unknown.to_series())):
            return None  # other numbers than 0 and 1 are classes or scores
        if unknown["count"].sum() > (1 - _MIN_SHARE) * len(self.cells):
            return None
        folded = {text.casefold().removesuffix(".0") for text in labels}
        return labels if len(folded) <= 2 else None


def read_labels(texts: pl.Series) -> dict[str, bool]:
    """Return what texts mean as labels, without those that mean none.

    Examples
    --------
    >>> read_labels(pl.Series(["Ja", "nein", "?"]))
    {'Ja': True, 'nein': False}
    """
    keys = {text: _strip_accents(text.strip().casefold()) for text in texts}
    return {text: key in POSITIVE for text, key in keys.items() if key in POSITIVE | NEGATIVE}


@dataclasses.dataclass(frozen=True)
class Guess:
    """What a column may be."""

    sample: Sample
    target: str
    #: How much speaks for it; comparable among guesses.
    rank: float
    confidence: Confidence
    reason: str


@dataclasses.dataclass(frozen=True)
class Subject:
    """A column of the table that data may have under many names."""

    target: str
    #: Whole names, the most specific first, without separators and accents.
    names: tuple[str, ...]
    #: Words of a name.
    words: frozenset[str]
    #: Returns why the cells fit, "" if they do not.
    fits: Callable[[Sample], str]
    #: Returns why the cells alone suggest it, whatever the name; "" if they do not.
    stands_out: Callable[[Sample], str] = lambda _: ""
    #: Whether other words of a name, such as `category`, speak against it.
    identifies: bool = False
    #: Words that speak against it.
    others: frozenset[str] = frozenset()

    def guess(self, sample: Sample) -> Guess | None:
        """Return how likely a column is the subject; None if its name or cells contradict."""
        words = set(sample.words)
        if sample.key == self.target.replace("_", ""):
            rank, by_name = 4.0, "it has the name of the table's column"
        elif sample.key in self.names:
            rank = 3 - self.names.index(sample.key) / 1000
            by_name = "its name is a usual one"
        elif (short := sample.key.rstrip("0123456789")) in self.names and short != sample.key:
            rank, by_name = 2.0, "its name is a usual one with a number"
        elif (
            (found := [word for word in sample.words if word in self.words])
            and not words & self.others
            and not (self.identifies and words - self.words - _ID_WORDS)
        ):
            rank, by_name = 2.0, f"its name contains {found[0]!r}"
        else:
            by_cells = self.stands_out(sample)
            if not by_cells or words & self.others:
                return None
            return Guess(sample, self.target, 1.0, "low", by_cells)
        by_cells = self.fits(sample)
        if not by_cells and rank < 4:
            return None
        if not by_cells:
            reason = f"{by_name}, but its cells are not what the table expects"
            return Guess(sample, self.target, rank, "low", reason)
        confidence: Confidence = "high" if rank > 2 else "medium"
        return Guess(sample, self.target, rank, confidence, f"{by_name}, and {by_cells}")


def guess_columns(samples: Sequence[Sample]) -> tuple[dict[str, Guess], dict[str, str]]:
    """Return the most likely column of the table for columns of the data.

    Each column of the table is named at most once. The second dict has the reasons of columns that
    would have been guessed if another one did not fit better.
    """
    guesses = [
        guess
        for sample in samples
        for subject in SUBJECTS
        if (guess := subject.guess(sample)) is not None
    ]
    guesses.sort(key=lambda guess: -guess.rank)  # stable: earlier columns first
    chosen: dict[str, Guess] = {}
    taken: dict[str, str] = {}
    lost: dict[str, str] = {}
    for guess in guesses:
        name = guess.sample.name
        if name in chosen:
            continue
        if guess.target not in taken:
            chosen[name] = guess
            taken[guess.target] = name
            lost.pop(name, None)
        else:
            better = taken[guess.target]
            lost.setdefault(name, f"it may be {guess.target}, but {better!r} fits better")
    for needed, other, why in (
        ("customer_id", "card_id", "it identifies the card, and no column names customers"),
        ("merchant_id", "terminal_id", "it identifies the terminal, and no column names merchants"),
    ):
        if needed not in taken and other in taken:
            name = taken[other]
            chosen[name] = dataclasses.replace(
                chosen[name], target=needed, confidence="medium", reason=why
            )
    return chosen, lost


def second_score(samples: Sequence[Sample], chosen: dict[str, Guess]) -> Sample | None:
    """Return the scores of another model, if the data have any."""
    score = SUBJECTS_BY_TARGET["fraud_score"]
    others = [sample for sample in samples if sample.name not in chosen and score.guess(sample)]
    return others[0] if others else None


def time_of_day(date: Sample, samples: Sequence[Sample]) -> Sample | None:
    """Return the column with the times of day that belong to a column of dates."""
    if not date.is_date_only:
        return None
    times = [sample for sample in samples if sample.share(TIME_OF_DAY) >= _MIN_SHARE_ALONE]
    return times[0] if times else None


def split_words(name: str) -> list[str]:
    """Split a name into its words, in lower case and without accents.

    Examples
    --------
    >>> split_words("transDateTime"), split_words("TX_DATETIME"), split_words("Händler-Nr.")
    (['trans', 'date', 'time'], ['tx', 'datetime'], ['handler', 'nr'])
    >>> split_words("isFraud"), split_words("IPAddress")
    (['is', 'fraud'], ['ip', 'address'])
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", _strip_accents(name))
    return re.findall(r"[a-z0-9]+", spaced.casefold())


def _strip_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


# -- Why cells fit ---------------------------------------------------------------------------------


def _fits_label(sample: Sample) -> str:
    labels = sample.labels
    if labels is None:
        return ""
    texts = sample.cells.cast(pl.String)
    positive = [text for text, is_fraud in labels.items() if is_fraud]
    share = float(texts.is_in(positive).mean())  # type: ignore[arg-type]
    spelled = " and ".join(repr(text) for text in labels)
    return f"its values are {spelled} ({format_percent(share)} positive)"


def _fits_score(sample: Sample) -> str:
    numbers = sample.numbers
    if numbers is None or len(numbers) == 0 or set(numbers.unique().head(3)) <= {0.0, 1.0}:
        return ""
    scale = score_scale(numbers)
    return "" if scale is None else _SCALES[scale]


_SCALES = {
    "probability": "its values are from 0 to 1",
    "percent": "its values are from 0 to 100, as percentages",
    "log-odds": "its values are on both sides of 0, as log-odds",
}


def score_scale(numbers: pl.Series) -> Literal["probability", "percent", "log-odds"] | None:
    """Return the scale of scores; None if it is none that can be converted.

    Examples
    --------
    >>> score_scale(pl.Series([0.1, 0.9])), score_scale(pl.Series([0.1, 97.0]))
    ('probability', 'percent')
    >>> score_scale(pl.Series([-4.5, 1.2])), score_scale(pl.Series([310.0, 850.0]))
    ('log-odds', None)
    """
    low, high = float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]  # numbers
    if low >= 0:
        return "probability" if high <= 1 else "percent" if high <= 100 else None
    return "log-odds" if low > -100 and high < 100 else None


def _fits_time(sample: Sample) -> str:
    if sample.is_time or sample.share(_COMPACT_DATE) >= _MIN_SHARE_ALONE:
        if sample.is_text:
            return f"its texts are dates such as {sample.cells[0]!r}"
        return f"its type is {'date' if sample.is_date_only else 'date and time'}"
    unit = time_unit(sample)
    return f"it counts {unit}" if unit else ""


def time_unit(sample: Sample) -> str:
    """Return what a column of numbers counts: a unit of time since 1970, or since the first row."""
    numbers = sample.numbers
    if numbers is None or len(numbers) == 0 or not bool((numbers >= 0).all()):
        return ""
    low = float(numbers.min())  # type: ignore[arg-type]  # numbers
    if {"unix", "epoch", "timestamp", "ts", "time"} & set(sample.words):
        if 1e8 <= low < 1e10:
            return "seconds since 1970"
        if 1e11 <= low < 1e13:
            return "milliseconds since 1970"
    unit = STEPS.get(sample.key, "")
    return f"{unit} since the beginning of the data" if unit else ""


def _is_time(sample: Sample) -> str:
    if sample.is_text and sample.share(DATE_LIKE) < _MIN_SHARE_ALONE:
        return ""
    return _fits_time(sample) if sample.is_time else ""


def _fits_amount(sample: Sample) -> str:
    numbers = sample.numbers
    if numbers is None or sample.is_time or set(numbers.unique().head(3)) <= {0.0, 1.0}:
        return ""
    return "its values are numbers"


def _fits_id(sample: Sample) -> str:
    cells = sample.cells
    if cells.is_empty() or sample.is_time:
        return ""
    if sample.is_text:
        return "its values are texts"
    return "its values are whole numbers" if _is_whole(cells) else ""


def _is_whole(cells: pl.Series) -> bool:
    if cells.dtype.is_integer():
        return True
    return cells.dtype.is_float() and bool((cells == cells.floor()).all())


def _fits_key(sample: Sample) -> str:
    if _fits_id(sample) and sample.n_distinct >= 0.99 * len(sample.cells):
        return "its values differ from row to row"
    return ""


def _is_iban(sample: Sample) -> str:
    return "its texts look like IBANs" if sample.share(_IBAN) >= _MIN_SHARE_ALONE else ""


def is_card_number(sample: Sample) -> bool:
    """Whether the cells look like the numbers of cards: 13 to 19 digits with the check digit."""
    cells = sample.cells
    if not (sample.is_text or cells.dtype.is_integer()):
        return False
    texts = cells.cast(pl.String).head(200)
    if texts.is_empty() or not bool(texts.str.contains(_CARD_NUMBER).all()):
        return False
    return sum(map(_has_check_digit, texts)) >= _MIN_SHARE_ALONE * len(texts)


def _has_check_digit(text: str) -> bool:
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _looks_like_cards(sample: Sample) -> str:
    return "its values look like card numbers" if is_card_number(sample) else ""


def _fits_table(target: str) -> Callable[[Sample], str]:
    """Return a check that the table accepts the cells as they are."""

    def fits(sample: Sample) -> str:
        spec = spec_for("transactions").columns[target]
        options = ReadOptions() if sample.textual else None
        errors = validate_column(sample.cells.head(1000), spec, options=options).errors
        return "" if errors or sample.cells.is_empty() else "the table accepts its values"

    return fits


# -- The columns of the table, and their names elsewhere -------------------------------------------


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_USUAL: tuple[Subject, ...] = (
    Subject(
        "is_fraud",
        _names(
            "isfraud txfraud fraudbool fraudlabel fraudflag fraudind fraud isfraudulent fraudulent "
            "islaundering label class target ytrue y groundtruth istbetrug betrug "
            "betrugskennzeichen estfraude esfraude fraude chargeback outcome"
        ),
        _words("fraud laundering betrug fraude label chargeback"),
        _fits_label,
        others=_words("score flagged type available prediction pred confidence reason"),
    ),
    Subject(
        "fraud_score",
        _names(
            "fraudscore score proba probability prob fraudprobability fraudproba pfraud modelscore "
            "riskscore yscore yproba yprob ypred predproba p pred prediction predictedprobability "
            "probabilitefraude probabilite probabilidad puntuacion wahrscheinlichkeit "
            "betrugswahrscheinlichkeit logit logodds anomalyscore"
        ),
        _words(
            "score scores proba prob probability pred prediction logit wahrscheinlichkeit "
            "probabilite probabilidad puntuacion model rf xgb lgbm catboost logreg champion "
            "challenger"
        ),
        _fits_score,
        others=_words("credit merchant customer anomaly"),
    ),
    Subject(
        "timestamp",
        _names(
            "txdatetime transdatetranstime transactiondatetime datetime transactiontimestamp "
            "transactiontime transactiondate transdate txdate eventtime eventdate purchasedate "
            "paymentdate bookingdate date time when ts at paidat createdat transactiondt step "
            "buchungszeitpunkt zeitstempel zeitpunkt buchungsdatum buchungstag datum zeit "
            "horodatage dateheure datetransaction dateoperation fechahora fechatransaccion "
            "fechaoperacion fecha unixtime epoch"
        ),
        _words(
            "timestamp datetime date time datum zeitpunkt zeitstempel fecha horodatage when "
            "buchungstag buchung buchungszeit dt"
        ),
        _fits_time,
        _is_time,
        others=_words(
            "birth dob geburt geburtsdatum naissance nacimiento expiry expires available "
            "label since updated"
        ),
    ),
    Subject(
        "amount",
        _names(
            "txamount transactionamt transactionamount amt amountpaid paymentamount betrag "
            "betrageur umsatz summe montant somme importe monto cantidad valor value price total "
            "eur usd paid wert"
        ),
        _words("amount amt betrag umsatz montant importe monto price"),
        _fits_amount,
        others=_words("avg mean max min balance last ratio received"),
    ),
    Subject(
        "customer_id",
        _names(
            "customerid customer custid cust clientid client userid user accountid account "
            "accountnumber nameorig payerid payer senderid sender cardholder who iban kundenid "
            "kundennummer kundennr kunde kontonummer konto karteninhaber kontoinhaber inhaber "
            "idclient numeroclient compte idcliente cliente numerocuenta cuenta"
        ),
        _words(
            "customer cust client user account payer cardholder holder iban kunde kunden "
            "karteninhaber kontoinhaber inhaber konto compte cliente cuenta"
        ),
        _fits_id,
        _is_iban,
        identifies=True,
    ),
    Subject(
        "card_id",
        _names(
            "cardid ccnum cardnumber cardno cardnum cardtoken cardhash creditcardnumber pan card1 "
            "card karte kartennummer kartennr carte numerocarte tarjeta numerotarjeta"
        ),
        _words("card cc karte karten carte tarjeta"),
        _fits_id,
        _looks_like_cards,
        identifies=True,
    ),
    Subject(
        "merchant_id",
        _names(
            "merchantid merchant merchantname shopid shop storeid store vendorid vendor payeeid "
            "payee sellerid seller namedest beneficiary recipientid recipient receiver haendlerid "
            "haendler handlerid handler empfaenger empfanger commercant marchand commerce "
            "beneficiaire comercio comerciante tienda beneficiario beguenstigter begunstigter "
            "zahlungsempfanger zahlungsempfaenger laden geschaft geschaeft"
        ),
        _words(
            "merchant shop store vendor payee seller beneficiary recipient haendler handler "
            "empfaenger empfanger commercant marchand comercio beneficiario beguenstigter "
            "begunstigter zahlungspflichtiger"
        ),
        _fits_id,
        identifies=True,
    ),
    Subject(
        "terminal_id",
        _names("terminalid terminal posid"),
        _words("terminal"),
        _fits_id,
        identifies=True,
    ),
    Subject(
        "transaction_id",
        _names(
            "transactionid transnum transid txid txnid txnum trxid paymentid operationid orderid "
            "id uuid reference transaktionsid transaktionsnummer transaktionsnr buchungsnummer "
            "umsatznummer umsatzid referenz idtransaction numerotransaction idtransaccion "
            "numerooperacion referencia"
        ),
        _words("transaction trans tx txn trx payment transaktion transaccion"),
        _fits_key,
        identifies=True,
    ),
    *(
        Subject(target, _names(names), frozenset(), _fits_table(target))
        for target, names in {
            "currency": "ccy currencycode transactioncurrency wahrung waehrung devise moneda",
            "category": "kategorie categorie categoria",
            "merchant_category": "mcc mcccode merchantcategorycode",
            "country": "countrycode cntry land pays pais",
            "city": "stadt ort ville ciudad",
            "state": "region",
            "zip_code": "zip zipcode postcode postalcode plz codepostal codigopostal",
            "channel": "kanal canal",
            "payment_method": "paymentmode paymenttype zahlungsart",
            "is_online": "online",
            "device_id": "device",
            "ip_address": "ip ipaddr",
            "label_available_at": "labeltime labeldate",
        }.items()
    ),
)
#: Columns that data have under the name of the table only; the database sets the others.
_OTHERS = tuple(
    Subject(column.name, (), frozenset(), _fits_table(column.name))
    for column in spec_for("transactions").columns.values()
    if not (column.derived or column.defaulted)
    and column.name not in {subject.target for subject in _USUAL}
)
SUBJECTS = (*_USUAL, *_OTHERS)
SUBJECTS_BY_TARGET = {subject.target: subject for subject in SUBJECTS}
