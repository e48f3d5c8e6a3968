"""DatabaseConfig: from code, from DB_* variables, from DATABASE_URL."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict

import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url
from tracebacks import local_variables

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.exceptions import ConfigurationError

SERVER = {
    "DB_HOST": "db.bank",
    "DB_PORT": "5433",
    "DB_NAME": "fraud",
    "DB_USER": "ana",
    "DB_PASSWORD": "s3cr3t",
}
some_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def from_variables(variables):
    return DatabaseConfig.from_env(environ=variables)


def test_fields_are_those_that_were_given():
    config = DatabaseConfig(
        host="localhost", port=5432, database="synfinance", username="postgres", password="password"
    )

    assert (config.host, config.port, config.database) == ("localhost", 5432, "synfinance")
    assert (config.username, config.password) == ("postgres", "password")
    assert (config.pool_size, config.max_overflow, config.pool_timeout) == (10, 20, 30)
    assert (config.pool_recycle, config.echo) == (3600, False)


def test_connection_string_is_a_url_for_sqlalchemy():
    config = DatabaseConfig(
        host="localhost", database="synfinance", username="postgres", password="password"
    )

    assert (
        config.get_connection_string()
        == "postgresql+psycopg2://postgres:password@localhost:5432/synfinance"
    )


@given(user=some_text, password=some_text, database=some_text)
def test_any_user_password_and_database_survive_the_url(user, password, database):
    config = DatabaseConfig(host="db.bank", username=user, password=password, database=database)

    url = make_url(config.get_connection_string())

    assert (url.username, url.password, url.database) == (user, password, database)
    assert from_variables({"DATABASE_URL": config.get_connection_string()}) == config


def test_socket_folder_and_ipv6_address_survive_the_url():
    for host in ("/var/run/postgresql", "::1"):
        config = DatabaseConfig(host=host, port=5433, username="ana")

        assert from_variables({"DATABASE_URL": config.get_connection_string()}) == config


def test_environment_names_a_server_in_several_variables():
    config = from_variables(
        {
            **SERVER,
            "DB_POOL_SIZE": "3",
            "DB_MAX_OVERFLOW": "4",
            "DB_POOL_TIMEOUT": "5",
            "DB_POOL_RECYCLE": "-1",
            "DB_ECHO": "true",
            "DB_SSLMODE": "require",
            "DB_SLOW_QUERY_MS": "250",
        }
    )

    assert config == DatabaseConfig(
        host="db.bank",
        port=5433,
        database="fraud",
        username="ana",
        password="s3cr3t",
        pool_size=3,
        max_overflow=4,
        pool_timeout=5,
        pool_recycle=-1,
        echo=True,
        sslmode="require",
        slow_query_ms=250,
    )


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_environment_names_a_server_in_one_url(scheme):
    config = from_variables(
        {
            "DATABASE_URL": f"{scheme}://ana:s%2Fcret@db.bank:5433/fraud"
            "?sslmode=require&connect_timeout=3",
            "DB_POOL_SIZE": "2",
        }
    )

    assert config == DatabaseConfig(
        host="db.bank",
        port=5433,
        database="fraud",
        username="ana",
        password="s/cret",
        sslmode="require",
        pool_size=2,
        options={"connect_timeout": "3"},
    )


def test_without_a_server_the_embedded_one_is_meant(tmp_path):
    config = from_variables({"DB_DATA_DIR": str(tmp_path), "DB_NAME": "course"})

    assert config.embedded
    assert (config.database, config.data_dir) == ("course", str(tmp_path))


def test_empty_variables_count_as_not_set():
    names = [*SERVER, "DATABASE_URL", "DB_POOL_SIZE", "DB_ECHO", "DB_SSLMODE"]

    assert DatabaseConfig.from_env(
        environ=dict.fromkeys(names, "  ") | {"DB_PASSWORD": ""}
    ).embedded


def test_spaces_in_a_password_count():
    assert from_variables({**SERVER, "DB_PASSWORD": " x "}).password == " x "


@pytest.mark.parametrize(
    ("variable", "value", "should_be"),
    [
        ("DB_PORT", "many", "a whole number from 1 to 65535"),
        ("DB_PORT", "65536", "a whole number from 1 to 65535"),
        ("DB_PORT", "0", "a whole number from 1 to 65535"),
        ("DB_POOL_SIZE", "0", "a whole number from 1"),
        ("DB_POOL_SIZE", "2.5", "a whole number from 1"),
        ("DB_POOL_SIZE", "९", "a whole number from 1"),
        ("DB_MAX_OVERFLOW", "-1", "a whole number from 0"),
        ("DB_POOL_TIMEOUT", "soon", "a whole number from 1"),
        ("DB_POOL_RECYCLE", "-2", "a whole number from -1"),
        ("DB_SLOW_QUERY_MS", "-5", "a whole number from 0"),
        ("DB_ECHO", "maybe", "True or False (in the environment: 1, true"),
        ("DB_SSLMODE", "on", "one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("DB_SSLROOTCERT", "/no/such/file", "an existing file"),
        ("DB_HOST", "db1,,db2", "the name or address of a server, or several such as db1:5432,"),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_should_be(variable, value, should_be):
    with pytest.raises(ConfigurationError) as caught:
        from_variables({**SERVER, variable: value})

    message = str(caught.value).replace("'", "")
    assert message.startswith(f"{variable} must be {should_be}")
    assert message.endswith(f"; got {value}.")
    assert caught.value.variable == variable


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", "5432"),
        ("port", True),
        ("pool_size", 0),
        ("echo", "yes"),
        ("database", ""),
        ("host", " "),
        ("sslmode", "strict"),
        ("username", "a\0b"),
    ],
)
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(ConfigurationError, match=f"^{field} ") as caught:
        DatabaseConfig(**{"host": "db.bank", field: value})

    assert caught.value.variable == field


def test_an_option_that_does_not_exist_comes_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"'connect_timeot'. Did you mean connect_timeout"):
        DatabaseConfig(host="db.bank", options={"connect_timeot": "3"})


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://ana:s3cr3t@db.bank/fraud", "must begin with one of .*; got mysql://"),
        ("postgresql+psycopg://ana:s3cr3t@db.bank/fraud", "begin with one of .*; got .*psycopg://"),
        ("db.bank/fraud", "must begin with one of .*; got no scheme"),
        ("ana:s3cr3t@db.bank/fraud", "must begin with one of .*; got no scheme"),
        ("postgresql://ana:s3cr3t@/fraud", "must name a host"),
        ("postgresql://ana:s3cr3t@db.bank:many/fraud", "host and a port that can be read"),
        ("postgresql://ana:s3cr3t@db.bank:70000/fraud", "port must be a whole number from 1"),
        ("postgresql://ana:s3cr3t@db.bank:700000/fraud", "host and a port that can be read"),
        ("postgresql://ana:s3cr3t@[db.bank/fraud", "host and a port that can be read"),
        ("postgresql://ana:s3cr3t", "host and a port that can be read.*%2F"),
        ("postgresql://ana:1/s3cr3t@db.bank/fraud", "'/' or '@' before.*%2F"),
        ("postgresql://ana:s3cr3t/1@db.bank/fraud", "'/' or '@' before.*%2F"),
        ("postgresql://ana/s3cr3t@db.bank/fraud", "'/' or '@' before"),
        ("postgresql://ana:a@s3cr3t@db.bank/fraud", "'/' or '@' before.*%40"),
        ("postgresql://ana:s3cr3t@db.bank/fraud?sslmod=require", "option 'sslmod'.*sslmode"),
        ("postgresql://ana:s3cr3t@db.bank/fraud?ssl-mode=require", "option 'ssl-mode'"),
        ("postgresql://ana:s3cr3t@db.bank/fraud?service=x", "no connection option 'service'"),
        ("postgresql://ana:s3cr3t@db.bank/fraud?s3cr3t", "host and a port that can be read"),
    ],
)
def test_a_wrong_url_is_explained_without_repeating_it(url, why):
    with pytest.raises(ConfigurationError, match=why) as caught:
        from_variables({"DATABASE_URL": url})

    assert str(caught.value).startswith("DATABASE_URL")
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "password", ["s3cr3t#1", "1#s3cr3t", "1?s3cr3t", "1?s3cr3t=", "[s3cr3t", "a b", "%2F+"]
)
def test_a_url_means_what_it_means_to_libpq(password):
    url = f"postgresql://ana:{password}@db.bank/fraud?application_name=a+b%20c&options=-c%20x%3D1"
    config = from_variables({"DATABASE_URL": url})

    assert config.password == password.replace("%2F", "/")
    assert (config.host, config.database) == ("db.bank", "fraud")
    assert config.options == {"application_name": "a+b c", "options": "-c x=1"}
    arguments = {name: str(value) for name, value in config.connect_arguments().items()}
    assert psycopg2.extensions.parse_dsn(url) | {"port": "5432"} == arguments


@pytest.mark.parametrize("query", ["sslmode=on", "port=70000", "sslrootcert=/no/such"])
def test_a_wrong_value_in_the_url_is_named(query):
    name = query.partition("=")[0]

    with pytest.raises(ConfigurationError, match=f"DATABASE_URL's {name} must be"):
        from_variables({"DATABASE_URL": f"postgresql:///fraud?host=/run/pg&{query}"})


@pytest.mark.parametrize("variable", ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"])
def test_url_and_single_variables_contradict_each_other(variable):
    with pytest.raises(ConfigurationError, match=f"{variable} is set, but DATABASE_URL"):
        from_variables({"DATABASE_URL": "postgresql://db.bank/fraud", variable: SERVER[variable]})


def test_tls_variables_complete_the_url_but_may_not_contradict_it():
    url = "postgresql://db.bank/fraud"

    assert from_variables({"DATABASE_URL": url, "DB_SSLMODE": "require"}).sslmode == ("require")
    with pytest.raises(ConfigurationError, match="DB_SSLMODE is set, but DATABASE_URL has another"):
        from_variables({"DATABASE_URL": f"{url}?sslmode=verify-full", "DB_SSLMODE": "disable"})


@pytest.mark.parametrize("variable", ["DB_PORT", "DB_USER", "DB_PASSWORD", "DB_SSLMODE"])
def test_half_a_server_is_not_taken_for_the_embedded_one(variable):
    value = {**SERVER, "DB_SSLMODE": "require"}[variable]

    with pytest.raises(ConfigurationError, match=f"{variable} is set, but neither DB_HOST nor"):
        from_variables({variable: value})


def test_the_embedded_server_has_no_url_of_its_own():
    with pytest.raises(ConfigurationError, match="no fixed address"):
        DatabaseConfig().get_connection_string()


def test_repr_masks_the_password():
    config = DatabaseConfig(host="db.bank", username="ana", password="s3cr3t", pool_size=3)

    assert repr(config) == (
        "DatabaseConfig(host='db.bank', username='ana', password='***', pool_size=3)"
    )
    assert "s3cr3t" not in f"{config} {config!s} {config.place}"


def test_a_configuration_that_was_never_filled_has_a_repr_for_a_traceback():
    assert repr(DatabaseConfig.__new__(DatabaseConfig)) == "DatabaseConfig()"


@given(password=some_text)
def test_no_message_about_a_contradiction_repeats_the_password(password):
    with pytest.raises(ConfigurationError) as caught:
        from_variables({"DB_PASSWORD": f"<{password}>"})

    assert f"<{password}>" not in str(caught.value)


URL = "postgresql://ana:s3cr3t@db.bank/fraud"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DatabaseConfig(host="", password="s3cr3t"),
        lambda: DatabaseConfig("", 5432, "fraud", "ana", "s3cr3t"),
        lambda: DatabaseConfig(host="db.bank", password="s3cr3t\0"),
        lambda: from_variables({**SERVER, "DB_PORT": "many"}),
        lambda: from_variables({"DB_PASSWORD": "s3cr3t"}),
        lambda: from_variables({"DATABASE_URL": URL, "DB_PASSWORD": "s3cr3t"}),
        lambda: from_variables({"DATABASE_URL": URL.replace("fraud", "?sslmod=x")}),
        lambda: from_variables({"DATABASE_URL": URL.replace("db.bank", "db:x")}),
        lambda: from_variables({"DATABASE_URL": URL.replace("postgresql", "mysql")}),
    ],
)
def test_no_local_variable_of_an_error_shows_the_password(make):
    with pytest.raises(ConfigurationError) as caught:
        make()

    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in local_variables(caught.value)


@pytest.mark.parametrize("name", ["host", "database"])
def test_a_url_in_the_wrong_place_is_refused_and_not_shown(name):
    with pytest.raises(ConfigurationError, match=f"{name} must be a name; got a URL") as caught:
        DatabaseConfig(**{"host": "db.bank", name: URL})

    assert "s3cr3t" not in str(caught.value)


def test_a_password_prints_as_stars_and_is_otherwise_the_text():
    password = DatabaseConfig(host="db.bank", password="s3cr3t").password
    assert password is not None

    assert {repr(password), str(password), f"{password:>9}", f"{password!s}"} == {"'***'", "***"}
    assert "%s %r" % (password, password) == "*** '***'"  # noqa: UP031 - this way of formatting
    assert "s3cr3t" not in repr(asdict(DatabaseConfig(host="db.bank", password="s3cr3t")))
    assert password == "s3cr3t"
    assert pickle.loads(pickle.dumps(password)) == password
    assert repr(pickle.loads(pickle.dumps(password))) == "'***'"
    assert repr(copy.deepcopy(password)) == "'***'"


def test_a_password_of_another_type_is_refused():
    with pytest.raises(ConfigurationError, match="password must be a string; got bytes"):
        DatabaseConfig(host="db.bank", password=b"s3cr3t")  # type: ignore[arg-type]


def test_connect_arguments_are_libpqs():
    arguments = DatabaseConfig(host="db.bank", username="ana", password="it's").connect_arguments()

    assert psycopg2.extensions.parse_dsn(psycopg2.extensions.make_dsn(**arguments)) == {
        "host": "db.bank",
        "port": "5432",
        "dbname": "synfinance",
        "user": "ana",
        "password": "it's",
    }
