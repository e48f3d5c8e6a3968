"""Several servers: those of a primary, one of which is it, and its read replicas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from tracebacks import local_variables

from synfin_analytics.database._hosts import Server, parse_servers
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.exceptions import ConfigurationError

PRIMARY = {"DB_HOST": "db1", "DB_NAME": "fraud", "DB_USER": "ana", "DB_PASSWORD": "s3cr3t"}

hosts = st.sampled_from(["db1", "db-2.bank", "10.0.0.7", "::1", "fe80::1%eth0", "/run/postgresql"])
servers = st.lists(st.builds(Server, hosts, st.integers(1, 65535)), min_size=1, max_size=4)


def read(**variables):
    return DatabaseConfig.from_env(environ=variables)


@given(servers)
def test_a_list_of_servers_is_read_as_it_is_written(servers):
    assert list(parse_servers(",".join(map(str, servers)))) == servers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db1, db2:5433", [("db1", 5434), ("db2", 5433)]),
        ("::1,[::2]", [("::1", 5434), ("::2", 5434)]),
    ],
)
def test_a_server_without_a_port_has_the_default_one(text, expected):
    assert list(parse_servers(text, 5434)) == expected


@pytest.mark.parametrize("text", ["", "db1,", "db1:0", "db1:65536", "db1:port", "[::1", "a b"])
def test_a_server_that_cannot_be_read_is_an_error(text):
    with pytest.raises(ConfigurationError, match="host must be the name or address of a server"):
        DatabaseConfig(host=text)


@pytest.mark.parametrize(
    "variables",
    [
        {"DB_HOST": "db1:5433,[::1]:5434,/run/pg", "DB_PORT": "5435", "DB_NAME": "fraud"},
        {"DATABASE_URL": "postgresql://db1:5433,[::1]:5434,%2Frun%2Fpg:5435/fraud"},
        {"DATABASE_URL": "postgresql:///fraud?host=db1,::1,/run/pg&port=5433,5434,5435"},
    ],
)
def test_connections_go_to_the_primary_of_several_servers(variables):
    config = read(**variables)

    expected = {
        "host": "db1,::1,/run/pg",
        "port": "5433,5434,5435",
        "dbname": "fraud",
        "target_session_attrs": "primary",
    }
    assert config.connect_arguments() == expected
    engine = create_engine(config.get_connection_string())
    assert engine.dialect.create_connect_args(engine.url)[1] == expected
    assert config.place == "database 'fraud' on db1:5433, [::1]:5434, /run/pg:5435"


def test_an_option_of_the_url_chooses_another_server():
    config = read(DATABASE_URL="postgresql://db1,db2/fraud?target_session_attrs=any")

    assert config.connect_arguments()["target_session_attrs"] == "any"


def test_a_url_needs_as_many_ports_as_hosts():
    with pytest.raises(ConfigurationError, match="as many ports as hosts, or one"):
        read(DATABASE_URL="postgresql:///fraud?host=db1,db2,db3&port=5433,5434")


# -- Replicas ------------------------------------------------------------------------------------


def test_replicas_are_reached_as_the_primary_is():
    config = read(**PRIMARY, DB_PORT="5433", DB_REPLICA_HOSTS="db2,db3:5434")

    first, second = config.replicas
    assert (first.host, first.port, second.host, second.port) == ("db2", 5433, "db3", 5434)
    arguments = second.connect_arguments()
    assert (arguments["dbname"], arguments["user"]) == ("fraud", "ana")
    assert arguments["password"] == "s3cr3t"
    assert arguments["connect_timeout"] == "2"


def test_a_url_of_replicas_may_have_another_user_and_options():
    url = "postgresql://reader:r%2Fd@db2,db3:5434/fraud?connect_timeout=9"
    config = read(**PRIMARY, DB_REPLICA_URL=url)

    first, second = config.replicas
    assert (first.host, first.port, second.host, second.port) == ("db2", 5432, "db3", 5434)
    arguments = first.connect_arguments()
    assert (arguments["user"], arguments["password"]) == ("reader", "r/d")
    assert arguments["connect_timeout"] == "9"


def test_another_user_of_the_replicas_does_not_get_the_primarys_password():
    (replica,) = read(**PRIMARY, DB_REPLICA_URL="postgresql://reader@db2/fraud").replicas

    assert replica.password is None


def test_the_options_that_find_a_primary_are_not_those_of_its_replicas():
    options = {"target_session_attrs": "read-write", "sslcert": "/cert"}
    (replica,) = DatabaseConfig(host="db1", replica_hosts="db2", options=options).replicas

    assert replica.options["sslcert"] == "/cert"
    assert "target_session_attrs" not in replica.connect_arguments()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DB_REPLICA_HOSTS": "db2"}, "The embedded server has no read replicas. Set DB_HOST"),
        ({**PRIMARY, "DB_REPLICA_HOSTS": "db2:x"}, "DB_REPLICA_HOSTS must be names or addresses"),
        ({**PRIMARY, "DB_REPLICA_HOSTS": "postgresql://a:pw@db2"}, "got a URL. Set DB_REPLICA_URL"),
        (
            {**PRIMARY, "DB_REPLICA_HOSTS": "db2", "DB_REPLICA_URL": "postgresql://db2/fraud"},
            "are both set",
        ),
        ({**PRIMARY, "DB_REPLICA_URL": "mysql://a:pw@db2/fraud"}, "DB_REPLICA_URL must begin with"),
        (
            {**PRIMARY, "DB_REPLICA_URL": "postgresql://a:pw@db2/other"},
            "must name the primary's database 'fraud'; got 'other'",
        ),
    ],
)
def test_replicas_that_contradict_the_rest_are_refused(variables, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        read(**variables)

    assert "pw" not in str(caught.value)


def test_no_traceback_shows_the_url_of_replicas():
    with pytest.raises(ConfigurationError) as caught:
        read(**PRIMARY, DB_REPLICA_URL="mysql://a:pw@db2/fraud")

    assert "pw" not in local_variables(caught.value)


def test_the_url_of_replicas_is_not_shown():
    config = DatabaseConfig(host="db1", replica_url="postgresql://a:pw@db2/synfinance")

    assert "pw" not in repr(config) + repr(config.replicas)
