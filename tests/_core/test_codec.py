"""Results as bytes: what comes back, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle
import zlib
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from synfin_analytics._core.codec import Codec

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.dates()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
)
RESULTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.none(), inner)
    ),
    max_leaves=20,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Rate:
    name: str
    values: np.ndarray
    session: object = None


@given(RESULTS)
def test_a_result_comes_back_as_it_was(result):
    codec = Codec()

    decoded = codec.decode(codec.encode(result))

    assert decoded == result
    assert type(decoded) is type(result)


def test_a_dataclass_comes_back_with_the_session_of_the_reader():
    data = Codec([Rate], {"session": None}).encode(Rate("weekly", np.array([1.5, np.nan]), "mine"))

    rate = Codec([Rate], {"session": "theirs"}).decode(data)

    assert (rate.name, rate.session) == ("weekly", "theirs")
    np.testing.assert_array_equal(rate.values, [1.5, np.nan])
    assert b"mine" not in zlib.decompress(data)


def test_frames_keep_their_types():
    frame = pd.DataFrame(
        {
            "week": pd.to_datetime(["2026-01-05"], utc=True).as_unit("us"),
            "count": pd.array([3], "Int64"),
            "group": pd.array([None], "string"),
            "amount": [Decimal("1.20")],
        }
    )
    codec = Codec()

    assert_frame_equal(codec.decode(codec.encode(frame)), frame)
    polars = pl.DataFrame({"n": [1, None], "day": [dt.date(2026, 1, 1)] * 2})
    assert codec.decode(codec.encode(polars)).equals(polars)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.array([object()]), Rate("weekly", np.zeros(1))]
)
def test_what_is_not_a_result_is_not_stored(value):
    with pytest.raises(TypeError, match="cannot be stored"):
        Codec().encode({"value": value})


@given(st.binary() | st.binary().map(zlib.compress))
def test_bytes_that_are_no_result_are_an_error(data):
    with pytest.raises(ValueError, match="not a stored result"):
        Codec().decode(data)


def test_a_pickle_is_not_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("code-ran").touch, ())

    for data in (pickle.dumps(Trap()), zlib.compress(pickle.dumps(Trap()))):
        with pytest.raises(ValueError, match="not a stored result"):
            Codec().decode(data)

    assert not (tmp_path / "code-ran").exists()
