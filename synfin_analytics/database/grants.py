"""Least privilege: a role that reads our tables, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg2 import extensions, sql

from synfin_analytics.database import schema
from synfin_analytics.database._settings import Secret
from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema._home import VERSION_TABLE, home_schema
from synfin_analytics.exceptions import ArgumentError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CREATE_LARGE_OBJECTS = ("lo_creat(integer)", "lo_create(oid)", "lo_from_bytea(oid, bytea)")
_NAMES = ("BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION")
_ATTRIBUTES = """
    SELECT rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
    FROM pg_roles WHERE rolname = %s
"""
#: Roles of PostgreSQL itself that read or change more than our tables.
_STRONG = (
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_read_all_data",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_write_all_data",
    "pg_write_server_files",
)
_MEMBERSHIPS = """
    SELECT rolname FROM pg_roles AS r
    WHERE rolname <> %(role)s AND pg_has_role(%(role)s, r.oid, 'MEMBER') AND (
        rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
        OR rolname = ANY(%(strong)s)
        OR r.oid IN (SELECT datdba FROM pg_database WHERE datname = current_database())
        OR r.oid IN (SELECT relowner FROM pg_class WHERE oid = to_regclass(%(table)s))
    ) ORDER BY rolname
"""
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts off what is longer


@dataclass(frozen=True)
class Grant:
    """What :func:`grant_read` did.

    Attributes
    ----------
    role
        Name of the role.
    created
        Whether the role is new.
    hidden
        Columns of each table that the role may not read.
    warnings
        Rights that the role has beyond this, in words.
    """

    role: str
    created: bool
    hidden: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...]


def personal_columns() -> dict[str, tuple[str, ...]]:
    """Columns with card holders' personal data, by table.

    Examples
    --------
    >>> personal_columns()["transactions"]
    ('card_id', 'latitude', 'longitude', 'device_id', 'ip_address')
    """
    found = {
        table: tuple(column.name for column in model.__table__.columns if column.info.get("pii"))
        for table, model in TABLES.items()
    }
    return {table: columns for table, columns in found.items() if columns}


def grant_read(
    target: schema.HasEngine,
    role: str,
    *,
    personal_data: bool = False,
    password: str | None = None,
) -> Grant:
    """Let ``role`` read the tables, and create it if there is none.

    What an earlier call granted on our tables and this one does not is taken back.

    Parameters
    ----------
    target
        A manager or an engine, connected as the owner of the tables or a superuser.
    role
        Name of the role.
    personal_data
        Whether it may read card holders' personal data too. Without, it may not use ``SELECT *``
        on tables that have such columns, and tables of later versions need another grant.
    password
        Lets the role log in, with this password; the server gets its hash only. None leaves it as
        it is: a new role cannot log in, but can be granted to users who can.

    Raises
    ------
    ArgumentError
        If the role has no possible name, or is one that grants do not bind.
    SchemaError
        If the tables are not up to date, or the server refuses.
    """
    password = None if password is None else Secret(password)
    _check_name(role)
    if password is not None and (not password or "\0" in password):
        raise ArgumentError("A password must not be empty or have a NUL character in it.")
    schema.require_current(target)
    hidden = {} if personal_data else personal_columns()
    with schema.refusals_in_words(), schema.migrating(target) as connection:
        # The driver itself, because it quotes names; and its statements are not logged.
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            server = _Server(cursor)
            created = server.create_role(role)
            server.refuse_mighty(role)
            if password is not None:
                hashed = extensions.encrypt_password(password, role, driver, "scram-sha-256")
                server.run("ALTER ROLE {} LOGIN PASSWORD {}", role, sql.Literal(hashed))
            server.grant(role, hidden, future=personal_data)
            server.verify(role, hidden)
            return Grant(role, created, hidden, tuple(server.warnings(role, hidden)))


def _check_name(role: str) -> None:
    if not role.strip() or "\0" in role:
        raise ArgumentError("A role needs a name.")
    if len(role.encode()) > _LONGEST_NAME:
        raise ArgumentError(f"The name of a role has at most {_LONGEST_NAME} bytes: {role!r}.")
    if role.startswith("pg_") or role in {"public", "none"}:
        raise ArgumentError(f"PostgreSQL keeps the name {role!r} for itself: take another one.")


class _Server:
    """The statements, on one cursor in one transaction."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.database = self._one("SELECT current_database()")
        self.namespace = home_schema(cursor)

    def run(self, statement: str, *parts: str | sql.Composable) -> None:
        """Execute a statement; a text among ``parts`` is the name of something."""
        composed = [sql.Identifier(part) if isinstance(part, str) else part for part in parts]
        self.cursor.execute(sql.SQL(statement).format(*composed))

    def create_role(self, role: str) -> bool:
        if self._one("SELECT count(*) FROM pg_roles WHERE rolname = %s", role):
            return False
        self.run("CREATE ROLE {} NOLOGIN", role)
        return True

    def refuse_mighty(self, role: str) -> None:
        """Refuse a role whose own rights a grant cannot narrow."""
        mighty = self._one(
            "SELECT rolsuper OR oid IN (SELECT relowner FROM pg_class "
            "WHERE oid = to_regclass(%s)) FROM pg_roles WHERE rolname = %s",
            self._named("transactions"),
            role,
        )
        if mighty:
            raise ArgumentError(
                f"Role {role!r} is a superuser or owns the tables: no grant makes it a reader. "
                "Name another role."
            )

    def grant(self, role: str, hidden: dict[str, tuple[str, ...]], *, future: bool) -> None:
        self.run("GRANT CONNECT ON DATABASE {} TO {}", self.database, role)
        self.run("GRANT USAGE ON SCHEMA {} TO {}", self.namespace, role)
        for table, model in TABLES.items():
            self.run("REVOKE ALL ON {} FROM {}", self._table(table), role)
            columns = [column.name for column in model.__table__.columns]
            seen = [column for column in columns if column not in hidden.get(table, ())]
            self.run(
                "GRANT SELECT {} ON {} TO {}", _listed(seen, columns), self._table(table), role
            )
        self.run("GRANT SELECT ON {} TO {}", self._table(VERSION_TABLE), role)
        # A table of a later version may hold personal data: only who reads these gets it unasked.
        change = "GRANT SELECT ON TABLES TO" if future else "REVOKE SELECT ON TABLES FROM"
        self.run(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{}} {change} {{}}", self.namespace, role)

    def verify(self, role: str, hidden: dict[str, tuple[str, ...]]) -> None:
        """See that the role has the rights: a grant that lacks the right to give only warns."""
        given = self._one("SELECT has_schema_privilege(%s, %s, 'USAGE')", role, self.namespace)
        given = given and self._one(
            "SELECT has_database_privilege(%s, %s, 'CONNECT')", role, self.database
        )
        for table, model in TABLES.items():
            for column in model.__table__.columns:
                if column.name not in hidden.get(table, ()):
                    given = given and self._may(role, table, "SELECT", column.name)
        if not given:
            raise SchemaError(
                f"The user of this connection may not grant all of this to {role!r}. Connect as "
                "the owner of the database and of the tables, or as a superuser (DB_USER)."
            )

    def warnings(self, role: str, hidden: dict[str, tuple[str, ...]]) -> list[str]:
        """Rights from elsewhere that make the role more than a reader."""
        found = []
        writes = [
            table
            for table in TABLES
            if any(self._may(role, table, right) for right in ("INSERT", "UPDATE", "DELETE"))
        ]
        if writes:
            found.append(f"Through another role or PUBLIC, it may also change {', '.join(writes)}.")
        reads = [
            f"{table}.{column}"
            for table, columns in hidden.items()
            for column in columns
            if self._may(role, table, "SELECT", column)
        ]
        if reads:
            found.append(f"Through another role or PUBLIC, it also reads {', '.join(reads)}.")
        if self._one("SELECT has_schema_privilege(%s, %s, 'CREATE')", role, self.namespace):
            place = self._one("SELECT quote_ident(%s)", self.namespace)
            found.append(
                f"It may also create tables in schema {place}, as anybody may; to prevent that: "
                f"REVOKE CREATE ON SCHEMA {place} FROM PUBLIC"
            )
        return [*found, *self._temporary(role), *self._large_objects(role), *self._strong(role)]

    def _temporary(self, role: str) -> Iterator[str]:
        if self._one("SELECT has_database_privilege(%s, %s, 'TEMP')", role, self.database):
            database = self._one("SELECT quote_ident(%s)", self.database)
            yield (
                "Through another role or PUBLIC, it may also create temporary tables; to prevent "
                f"that: REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
            )

    def _large_objects(self, role: str) -> Iterator[str]:
        creating = [
            function
            for function in _CREATE_LARGE_OBJECTS
            if self._one("SELECT has_function_privilege(%s, %s, 'EXECUTE')", role, function)
        ]
        if creating:
            yield (
                "Through another role or PUBLIC, it may also store large objects; to prevent that, "
                f"as a superuser: REVOKE EXECUTE ON FUNCTION {', '.join(creating)} FROM PUBLIC"
            )

    def _strong(self, role: str) -> Iterator[str]:
        """Attributes and memberships that go beyond any grant on tables."""
        self.cursor.execute(_ATTRIBUTES, (role,))
        attributes = [name for name, has in zip(_NAMES, self.cursor.fetchone(), strict=True) if has]
        if attributes:
            yield (
                f"Its own attributes go beyond reading: {', '.join(attributes)}. Take them away "
                "with ALTER ROLE, or name another role."
            )
        self.cursor.execute(
            _MEMBERSHIPS,
            {
                "role": role,
                "strong": list(_STRONG),
                "table": self._named("transactions"),
            },
        )
        memberships = [name for (name,) in self.cursor.fetchall()]
        if memberships:
            yield (
                f"It is a member of roles that may do more than read: {', '.join(memberships)}. "
                "REVOKE these from it, or name another role."
            )

    def _may(self, role: str, table: str, right: str, column: str | None = None) -> bool:
        if column is None:
            return bool(
                self._one(
                    "SELECT has_table_privilege(%s, to_regclass(%s), %s)",
                    role,
                    self._named(table),
                    right,
                )
            )
        query = "SELECT has_column_privilege(%s, to_regclass(%s), %s, %s)"
        return bool(self._one(query, role, self._named(table), column, right))

    def _table(self, name: str) -> sql.Composable:
        return sql.Identifier(self.namespace, name)

    def _named(self, table: str) -> str:
        return self._table(table).as_string(self.cursor)

    def _one(self, query: str, *values: str) -> Any:
        self.cursor.execute(query, values or None)
        return self.cursor.fetchone()[0]


def _listed(seen: Sequence[str], columns: Sequence[str]) -> sql.Composable:
    """Columns in brackets; nothing where they are all: new ones are then covered too."""
    if len(seen) == len(columns):
        return sql.SQL("")
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, seen)))
