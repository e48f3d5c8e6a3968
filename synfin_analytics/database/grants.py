"""Least privilege: a role that can read the package's tables and nothing else."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg2 import extensions, sql

from synfin_analytics.database import schema
from synfin_analytics.database._secret import Secret
from synfin_analytics.database.connection import message_of, role_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArgumentError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg2

_CREATE_LARGE_OBJECTS = ("lo_creat(integer)", "lo_create(oid)", "lo_from_bytea(oid, bytea)")
_NAMES = ("BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION")
_ATTRIBUTES = """
    SELECT rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
    FROM pg_roles WHERE rolname = %s
"""
#: Predefined roles of PostgreSQL that can read or change more than the tables.
_POWERFUL_ROLES = (
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
        OR rolname = ANY(%(powerful)s)
        OR r.oid IN (SELECT datdba FROM pg_database WHERE datname = current_database())
        OR r.oid IN (SELECT relowner FROM pg_class WHERE oid = to_regclass(%(table)s))
    ) ORDER BY rolname
"""
_MAX_NAME_BYTES = 63  # PostgreSQL truncates longer names


@dataclass(frozen=True)
class Grant:
    """Result of :func:`grant_read`.

    Attributes
    ----------
    role
        Name of the role.
    created
        Whether the role is new.
    hidden
        Columns of each table that the role cannot read.
    warnings
        Privileges that the role has beyond this, as sentences.
    """

    role: str
    created: bool
    hidden: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...]


def advise_privileges(error: psycopg2.Error) -> str:
    """Say which GRANT a role needs to read what PostgreSQL has just denied.

    Parameters
    ----------
    error
        The driver's error.

    Examples
    --------
    >>> import psycopg2
    >>> advise_privileges(psycopg2.errors.InsufficientPrivilege())
    'Ask the owner of the tables to run `synfin db grant ROLE`, ...'
    """
    connection = getattr(error.cursor, "connection", None)
    role = name = "ROLE"
    if connection is not None:
        role_name = role_of(connection)
        role, name = shlex.quote(role_name), role_name.replace('"', '""')
    denied = re.search(r"permission denied for (?:table|view) (\S+)", message_of(error))
    command = f'GRANT SELECT ON {denied[1]} TO "{name}"' if denied else "GRANT SELECT"
    return (
        f"Ask the owner of the tables to run `synfin db grant {role}`, which hides personal data, "
        f"or {command}. If personal data are hidden from this user, name the columns to read, "
        "without those of synfin_analytics.database.grants.personal_columns(); a whole table, and "
        "therefore a repository, includes them"
    )


def personal_columns() -> dict[str, tuple[str, ...]]:
    """Return the columns with personal data of card holders, by table.

    Examples
    --------
    >>> personal_columns()["transactions"]
    ('card_id', 'latitude', 'longitude', 'device_id', 'ip_address')
    """
    columns_by_table = {
        table: tuple(column.name for column in model.__table__.columns if column.info.get("pii"))
        for table, model in TABLES.items()
    }
    return {table: columns for table, columns in columns_by_table.items() if columns}


def grant_read(
    target: schema.HasEngine,
    role: str,
    *,
    personal_data: bool = False,
    password: str | None = None,
) -> Grant:
    """Let ``role`` read the tables; create the role if it does not exist.

    Privileges on these tables from an earlier call are revoked first.

    Parameters
    ----------
    target
        A manager or an engine, connected as the owner of the tables or a superuser.
    role
        Name of the role.
    personal_data
        Whether the role may read personal data of card holders too. Otherwise it cannot use
        ``SELECT *`` on tables with such columns, and tables of later versions need another grant.
    password
        Allow the role to log in with this password; the server only receives its hash. None
        changes nothing: a new role cannot log in, but can be granted to users who can.

    Returns
    -------
    Grant
        What was granted, and warnings about privileges beyond it.

    Raises
    ------
    ArgumentError
        The name of the role is invalid, or grants do not limit the role.
    SchemaError
        The tables are not up to date, or the server refuses.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager
    >>> manager = get_db_manager()
    >>> manager.create_all_tables()
    >>> grant_read(manager, "analyst").hidden["transactions"]
    ('card_id', 'latitude', 'longitude', 'device_id', 'ip_address')
    """
    password = None if password is None else Secret(password)
    _check_name(role)
    if password is not None and (not password or "\0" in password):
        raise ArgumentError("`password` must be a non-empty string without NUL characters.")
    schema.require_current(target)
    hidden = {} if personal_data else personal_columns()
    with schema.translate_errors(), schema.migration_transaction(target) as connection:
        # The driver's own connection, which quotes names and whose statements are not logged.
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            server = _Server(cursor)
            created = server.create_role(role)
            server.check_limited(role)
            if password is not None:
                hashed = extensions.encrypt_password(password, role, driver, "scram-sha-256")
                server.run("ALTER ROLE {} LOGIN PASSWORD {}", role, sql.Literal(hashed))
            server.grant(role, hidden, future=personal_data)
            server.verify(role, hidden)
            return Grant(role, created, hidden, tuple(server.warnings(role, hidden)))


def _check_name(role: str) -> None:
    if not role.strip() or "\0" in role:
        raise ArgumentError(f"`role` must be a name; got {role!r}.")
    if len(role.encode()) > _MAX_NAME_BYTES:
        raise ArgumentError(f"`role` must have at most {_MAX_NAME_BYTES} bytes; got {role!r}.")
    if role.startswith("pg_") or role in {"public", "none"}:
        raise ArgumentError(
            f"`role` must not be a name that PostgreSQL reserves; got {role!r}. Choose another one."
        )


class _Server:
    """The statements of a grant, on one cursor in one transaction."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.database = self._scalar("SELECT current_database()")
        self.schema = schema.schema_of_tables(cursor)

    def run(self, statement: str, *parts: str | sql.Composable) -> None:
        """Execute a statement; a string among ``parts`` is an identifier."""
        composed = [sql.Identifier(part) if isinstance(part, str) else part for part in parts]
        self.cursor.execute(sql.SQL(statement).format(*composed))

    def create_role(self, role: str) -> bool:
        if self._scalar("SELECT count(*) FROM pg_roles WHERE rolname = %s", role):
            return False
        self.run("CREATE ROLE {} NOLOGIN", role)
        return True

    def check_limited(self, role: str) -> None:
        """Raise an error about a role whose own privileges no grant can limit."""
        unlimited = self._scalar(
            "SELECT rolsuper OR oid IN (SELECT relowner FROM pg_class "
            "WHERE oid = to_regclass(%s)) FROM pg_roles WHERE rolname = %s",
            self._qualified_name("transactions"),
            role,
        )
        if unlimited:
            raise ArgumentError(
                f"`role` must not be a superuser or the owner of the tables, whose privileges no "
                f"grant limits; got {role!r}. Choose another role."
            )

    def grant(self, role: str, hidden: dict[str, tuple[str, ...]], *, future: bool) -> None:
        self.run("GRANT CONNECT ON DATABASE {} TO {}", self.database, role)
        self.run("GRANT USAGE ON SCHEMA {} TO {}", self.schema, role)
        for table in TABLES:
            self.run("REVOKE ALL ON {} FROM {}", self._table(table), role)
            columns = sql.SQL(", ").join(map(sql.Identifier, _readable(table, hidden)))
            # Without columns, the grant includes those of later versions too.
            listed = sql.SQL("({})").format(columns) if table in hidden else sql.SQL("")
            self.run("GRANT SELECT {} ON {} TO {}", listed, self._table(table), role)
        self.run("GRANT SELECT ON {} TO {}", self._table(schema.VERSION_TABLE), role)
        # A table of a later version may hold personal data: only roles that may read it get it.
        change = "GRANT SELECT ON TABLES TO" if future else "REVOKE SELECT ON TABLES FROM"
        self.run(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{}} {change} {{}}", self.schema, role)

    def verify(self, role: str, hidden: dict[str, tuple[str, ...]]) -> None:
        """Check that the role has the privileges: a GRANT without the right to grant only warns."""
        granted = [
            self._scalar("SELECT has_schema_privilege(%s, %s, 'USAGE')", role, self.schema),
            self._scalar("SELECT has_database_privilege(%s, %s, 'CONNECT')", role, self.database),
            *(
                self._may(role, table, "SELECT", column)
                for table in TABLES
                for column in _readable(table, hidden)
            ),
        ]
        if not all(granted):
            raise SchemaError(
                f"The user of this connection cannot grant all of this to {role!r}. Connect as "
                "the owner of the database and of the tables, or as a superuser (DB_USER)."
            )

    def warnings(self, role: str, hidden: dict[str, tuple[str, ...]]) -> Iterator[str]:
        """Return sentences about other privileges with which the role can do more than read."""
        writes = [
            table
            for table in TABLES
            if any(self._may(role, table, right) for right in ("INSERT", "UPDATE", "DELETE"))
        ]
        if writes:
            yield f"Through another role or PUBLIC, it can also change {', '.join(writes)}."
        reads = [
            f"{table}.{column}"
            for table, columns in hidden.items()
            for column in columns
            if self._may(role, table, "SELECT", column)
        ]
        if reads:
            yield f"Through another role or PUBLIC, it can also read {', '.join(reads)}."
        if self._scalar("SELECT has_schema_privilege(%s, %s, 'CREATE')", role, self.schema):
            name = self._scalar("SELECT quote_ident(%s)", self.schema)
            yield (
                f"Like every role, it can also create tables in schema {name}; to prevent this: "
                f"REVOKE CREATE ON SCHEMA {name} FROM PUBLIC"
            )
        yield from self._temporary(role)
        yield from self._large_objects(role)
        yield from self._powerful(role)

    def _temporary(self, role: str) -> Iterator[str]:
        if self._scalar("SELECT has_database_privilege(%s, %s, 'TEMP')", role, self.database):
            database = self._scalar("SELECT quote_ident(%s)", self.database)
            yield (
                "Through another role or PUBLIC, it can also create temporary tables; to prevent "
                f"this: REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
            )

    def _large_objects(self, role: str) -> Iterator[str]:
        creating = [
            function
            for function in _CREATE_LARGE_OBJECTS
            if self._scalar("SELECT has_function_privilege(%s, %s, 'EXECUTE')", role, function)
        ]
        if creating:
            yield (
                "Through another role or PUBLIC, it can also store large objects; to prevent this, "
                f"as a superuser: REVOKE EXECUTE ON FUNCTION {', '.join(creating)} FROM PUBLIC"
            )

    def _powerful(self, role: str) -> Iterator[str]:
        """Return sentences about attributes and memberships that go beyond grants on tables."""
        self.cursor.execute(_ATTRIBUTES, (role,))
        attributes = [name for name, has in zip(_NAMES, self.cursor.fetchone(), strict=True) if has]
        if attributes:
            yield (
                f"Its own attributes go beyond reading: {', '.join(attributes)}. Remove them with "
                "ALTER ROLE, or choose another role."
            )
        self.cursor.execute(
            _MEMBERSHIPS,
            {
                "role": role,
                "powerful": list(_POWERFUL_ROLES),
                "table": self._qualified_name("transactions"),
            },
        )
        memberships = [name for (name,) in self.cursor.fetchall()]
        if memberships:
            yield (
                f"It is a member of roles that can do more than read: {', '.join(memberships)}. "
                "REVOKE these from it, or choose another role."
            )

    def _may(self, role: str, table: str, right: str, column: str | None = None) -> bool:
        name = self._qualified_name(table)
        if column is None:
            query, values = "SELECT has_table_privilege(%s, to_regclass(%s), %s)", [right]
        else:
            query = "SELECT has_column_privilege(%s, to_regclass(%s), %s, %s)"
            values = [column, right]
        return bool(self._scalar(query, role, name, *values))

    def _table(self, name: str) -> sql.Composable:
        return sql.Identifier(self.schema, name)

    def _qualified_name(self, table: str) -> str:
        return self._table(table).as_string(self.cursor)

    def _scalar(self, query: str, *values: str) -> Any:
        self.cursor.execute(query, values or None)
        return self.cursor.fetchone()[0]


def _readable(table: str, hidden: dict[str, tuple[str, ...]]) -> list[str]:
    """Columns of a table that are not hidden."""
    names = TABLES[table].__table__.columns.keys()
    return [name for name in names if name not in hidden.get(table, ())]
