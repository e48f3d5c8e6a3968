"""The rows of customers in the database: found, counted, deleted, given pseudonyms.

Identifiers reach the server by COPY into temporary tables, so that no statement contains one: a
log of statements, or ``pg_stat_statements``, shows none of them.
"""

# ruff: noqa: S608
# Statements are built of names of ours; values reach the server by COPY.

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from synfin_analytics.database.models import TABLES
from synfin_analytics.database.schema import pattern_lock, schema_of_tables
from synfin_analytics.io.erasure._identifiers import (
    CONTACTS,
    IDENTIFIERS,
    PATTERN_TABLES,
    Identifiers,
    cleared_columns,
    linked_tables,
    retained_columns,
    reveal,
)
from synfin_analytics.io.erasure._json import format_json, parse_json
from synfin_analytics.io.erasure._patterns import Pattern, rewrite_pattern
from synfin_analytics.io.erasure._pseudonyms import is_pseudonym
from synfin_analytics.io.erasure.report import DATABASE, Changed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.io.erasure._pseudonyms import Pseudonyms


class CustomerRows:
    """The rows of some customers, in one transaction.

    Parameters
    ----------
    cursor
        Cursor of the transaction.
    customer_ids
        Ids of the customers.
    pseudonyms
        Source of the replacements; without one, the identifiers are removed.
    lock
        Whether to lock the rows against concurrent changes.
    """

    def __init__(
        self,
        cursor: Cursor,
        customer_ids: Sequence[str],
        pseudonyms: Pseudonyms | None = None,
        *,
        lock: bool,
    ) -> None:
        self._cursor = cursor
        self._schema = schema_of_tables(cursor)
        self._pseudonyms = pseudonyms
        self._lock = sql.SQL("FOR UPDATE" if lock else "")
        self._create_temporary_tables()
        self._copy(
            "customers",
            ((reveal(key), self._pseudonym("customer_id", key)) for key in customer_ids),
        )
        self._collect()
        self._run(
            "SELECT customer_id FROM {customers} JOIN pg_temp.synfin_customers ON id = customer_id"
        )
        #: Ids of the customers that have a row.
        self.found = {key for (key,) in self._cursor.fetchall()}

    # -- Which rows ----------------------------------------------------------------------------

    def _create_temporary_tables(self) -> None:
        self._run("DROP TABLE IF EXISTS pg_temp.synfin_customers, pg_temp.synfin_transactions, "
                  "pg_temp.synfin_identifiers")  # fmt: skip  # of an earlier call in this session
        self._run(
            "CREATE TEMPORARY TABLE synfin_customers (id text PRIMARY KEY, replacement text) "
            "ON COMMIT DROP; "
            "CREATE TEMPORARY TABLE synfin_transactions (id text PRIMARY KEY) ON COMMIT DROP; "
            "CREATE TEMPORARY TABLE synfin_identifiers (kind text, id text, replacement text, "
            "shared boolean NOT NULL DEFAULT false, PRIMARY KEY (kind, id)) ON COMMIT DROP"
        )

    def _collect(self) -> None:
        """Lock the customers, so that no load adds to them, and collect their transactions."""
        self._run(
            "SELECT count(*) FROM (SELECT FROM {customers} WHERE customer_id IN "
            "(SELECT id FROM pg_temp.synfin_customers) ORDER BY customer_id {lock}) AS locked",
            lock=self._lock,
        )
        self._run("ANALYZE pg_temp.synfin_customers")
        self._run(
            "INSERT INTO pg_temp.synfin_transactions SELECT transaction_id FROM (SELECT "
            "transaction_id FROM {transactions} WHERE customer_id IN "
            "(SELECT id FROM pg_temp.synfin_customers) {lock}) AS locked",
            lock=self._lock,
        )
        self._run("ANALYZE pg_temp.synfin_transactions")
        values = ", ".join(f"('{name}', t.{name})" for name in IDENTIFIERS)
        self._run(
            "INSERT INTO pg_temp.synfin_identifiers (kind, id) SELECT DISTINCT v.kind, v.id "
            "FROM {transactions} AS t JOIN pg_temp.synfin_transactions AS s "
            f"ON s.id = t.transaction_id CROSS JOIN LATERAL (VALUES {values}) AS v (kind, id) "
            "WHERE v.id IS NOT NULL"
        )
        values = ", ".join(f"('{name}', c.{name})" for name in CONTACTS)
        self._run(
            "INSERT INTO pg_temp.synfin_identifiers (kind, id) SELECT DISTINCT v.kind, v.id "
            "FROM {customers} AS c JOIN pg_temp.synfin_customers AS s ON s.id = c.customer_id "
            f"CROSS JOIN LATERAL (VALUES {values}) AS v (kind, id) WHERE v.id IS NOT NULL"
        )

    def add(self, transactions: Iterable[str], identifiers: Iterable[tuple[str, str]]) -> None:
        """Add transactions of the customers, and their identifiers, that are in an archive only.

        Parameters
        ----------
        transactions
            Ids of transactions.
        identifiers
            Pairs of a column and an identifier in it.
        """
        rows = [("transaction_id", key) for key in transactions]
        self._create_archived([*rows, *identifiers])
        self._run(
            "INSERT INTO pg_temp.synfin_transactions SELECT DISTINCT id "
            "FROM pg_temp.synfin_archived WHERE kind = 'transaction_id' ON CONFLICT DO NOTHING; "
            "INSERT INTO pg_temp.synfin_identifiers (kind, id) SELECT DISTINCT kind, id "
            "FROM pg_temp.synfin_archived WHERE kind <> 'transaction_id' ON CONFLICT DO NOTHING; "
            "DROP TABLE pg_temp.synfin_archived"
        )

    def _create_archived(self, rows: Iterable[tuple[str, str]]) -> None:
        self._run("CREATE TEMPORARY TABLE synfin_archived (kind text, id text) ON COMMIT DROP")
        self._copy("archived", rows)

    def by_column(self) -> dict[str, list[str]]:
        """Return the cards, devices, addresses, emails and phones of the customers, by column."""
        self._run("SELECT kind, id FROM pg_temp.synfin_identifiers")
        pairs = self._cursor.fetchall()
        names = (*IDENTIFIERS, *CONTACTS)
        return {name: [key for kind, key in pairs if kind == name] for name in names}

    def mark_shared(self, archived: Sequence[tuple[str, str]] = ()) -> int:
        """Find the identifiers that rows of other customers have too, and return their number.

        Parameters
        ----------
        archived
            Those that rows of other customers in archives have.
        """
        if not self._value("SELECT count(*) FROM pg_temp.synfin_identifiers"):
            return 0
        self._create_archived(archived)
        self._run(
            "UPDATE pg_temp.synfin_identifiers AS i SET shared = true FROM "
            "pg_temp.synfin_archived AS a WHERE (a.kind, a.id) = (i.kind, i.id); "
            "DROP TABLE pg_temp.synfin_archived"
        )
        has_one = " OR ".join(
            f"t.{name} IN (SELECT id FROM pg_temp.synfin_identifiers WHERE kind = '{name}')"
            for name in IDENTIFIERS
        )
        values = ", ".join(f"('{name}', t.{name})" for name in IDENTIFIERS)
        self._run(
            "UPDATE pg_temp.synfin_identifiers AS i SET shared = true FROM (SELECT DISTINCT v.kind,"
            f" v.id FROM {{transactions}} AS t CROSS JOIN LATERAL (VALUES {values}) AS v (kind, id)"
            f" WHERE ({has_one}) AND t.customer_id NOT IN "
            "(SELECT id FROM pg_temp.synfin_customers)) AS o "
            "WHERE (o.kind, o.id) = (i.kind, i.id)"
        )
        for name in CONTACTS:
            self._run(
                f"UPDATE pg_temp.synfin_identifiers AS i SET shared = true FROM {{customers}} AS c "
                f"WHERE i.kind = '{name}' AND c.{name} = i.id AND c.customer_id NOT IN "
                "(SELECT id FROM pg_temp.synfin_customers)"
            )
        return int(
            self._value(
                "SELECT count(*) FROM pg_temp.synfin_identifiers WHERE shared "
                "AND NOT kind = ANY({contacts})",
                contacts=sql.Literal(list(CONTACTS)),
            )
        )

    def identifiers(self) -> Identifiers:
        """Return the identifiers with their replacements.

        An erasure leaves those that other customers have too: they are theirs as well.
        """
        self._run("SELECT id, replacement FROM pg_temp.synfin_customers")
        customers = dict(self._cursor.fetchall())
        if self._pseudonyms is None:
            self._run("SELECT id FROM pg_temp.synfin_transactions")
            transactions = frozenset(key for (key,) in self._cursor.fetchall())
            self._run("SELECT kind, id, NULL FROM pg_temp.synfin_identifiers WHERE NOT shared")
            return Identifiers(customers, transactions, self._fetch_by_column())
        self._replace_identifiers()
        self._run(
            "SELECT kind, id, replacement FROM pg_temp.synfin_identifiers WHERE NOT (shared "
            "AND kind = ANY({contacts}))",
            contacts=sql.Literal(list(CONTACTS)),
        )
        return Identifiers(customers, by_column=self._fetch_by_column())

    def _fetch_by_column(self) -> dict[str, dict[str, str | None]]:
        by_column: dict[str, dict[str, str | None]] = {}
        for kind, key, replacement in self._cursor.fetchall():
            by_column.setdefault(kind, {})[key] = replacement
        return by_column

    def _replace_identifiers(self) -> None:
        """Compute the pseudonyms of cards, devices and addresses; contacts are removed."""
        self._run(
            "SELECT kind, id FROM pg_temp.synfin_identifiers WHERE NOT kind = ANY({contacts})",
            contacts=sql.Literal(list(CONTACTS)),
        )
        keys = [(kind, key) for kind, key in self._cursor.fetchall() if not is_pseudonym(key)]
        self._run("CREATE TEMPORARY TABLE synfin_replaced (kind text, id text, replacement text) "
                  "ON COMMIT DROP")  # fmt: skip
        self._copy("replaced", ((kind, key, self._pseudonym(kind, key)) for kind, key in keys))
        self._run(
            "UPDATE pg_temp.synfin_identifiers AS i SET replacement = r.replacement FROM "
            "pg_temp.synfin_replaced AS r WHERE (r.kind, r.id) = (i.kind, i.id); "
            "DROP TABLE pg_temp.synfin_replaced; "
            "UPDATE pg_temp.synfin_identifiers SET replacement = id WHERE replacement IS NULL "
            "AND NOT kind = ANY({contacts}); ANALYZE pg_temp.synfin_identifiers",
            contacts=sql.Literal(list(CONTACTS)),
        )

    def _pseudonym(self, column: str, key: str) -> str | None:
        return None if self._pseudonyms is None else self._pseudonyms.of(column, key)

    # -- Erase ---------------------------------------------------------------------------------

    def count(self) -> Iterator[Changed]:
        """Count the rows that :meth:`delete` would delete."""
        for table in linked_tables():
            n_rows = self._value(
                "SELECT count(*) FROM {table} WHERE {condition}", **self._belonging(table)
            )
            if n_rows:
                yield Changed(DATABASE, table, deleted=n_rows)

    def delete(self) -> Iterator[Changed]:
        """Delete the rows, children before their parents."""
        changed = []
        for table in reversed(linked_tables()):
            self._run("DELETE FROM {table} WHERE {condition}", **self._belonging(table))
            changed.append(Changed(DATABASE, table, deleted=self._cursor.rowcount))
        return (item for item in reversed(changed) if item.deleted)

    def _belonging(self, table: str) -> dict[str, sql.Composable]:
        column, parent = linked_tables()[table]
        condition = sql.SQL("{} IN (SELECT id FROM pg_temp.{})").format(
            sql.Identifier(column), sql.Identifier(f"synfin_{parent}")
        )
        return {"table": self._table(table), "condition": condition}

    # -- Pseudonymise --------------------------------------------------------------------------

    def count_updates(self) -> Iterator[Changed]:
        """Count the rows that :meth:`update` would update."""
        for table, condition in (
            ("customers", "customer_id IN (SELECT id FROM pg_temp.synfin_customers)"),
            ("transactions", _HAS_IDENTIFIER),
        ):
            n_rows = self._value(
                f"SELECT count(*) FROM {{table}} AS t WHERE {condition}", table=self._table(table)
            )
            if n_rows:
                yield Changed(DATABASE, table, updated=n_rows)

    def update(self) -> Iterator[Changed]:
        """Give the customers and their transactions the replacements.

        A key that others refer to cannot change: the customers get new rows, to which their
        transactions move. If a pseudonym has a row of an earlier call, that row is updated.
        """
        retained = retained_columns(TABLES["customers"], without=["customer_id"])
        names = sql.SQL(", ").join(map(sql.Identifier, retained))
        self._run(
            "INSERT INTO {customers} (customer_id, {names}) SELECT s.replacement, {values} "
            "FROM {customers} AS c JOIN pg_temp.synfin_customers AS s ON s.id = c.customer_id "
            "ON CONFLICT (customer_id) DO UPDATE SET {assignments}",
            names=names,
            values=sql.SQL(", ").join(sql.Identifier("c", name) for name in retained),
            assignments=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in retained
            ),
        )
        n_customers = self._cursor.rowcount
        assignments = [
            f"{name} = coalesce({name}_replaced.replacement, t.{name})" for name in IDENTIFIERS
        ] + [
            f"{name} = CASE WHEN s.id IS NULL THEN t.{name} END"
            for name in cleared_columns(TABLES["transactions"])
        ]
        joins = " ".join(
            f"LEFT JOIN pg_temp.synfin_identifiers AS {name}_replaced "
            f"ON {name}_replaced.kind = '{name}' AND {name}_replaced.id = o.{name}"
            for name in IDENTIFIERS
        )
        replaced = " OR ".join(f"{name}_replaced.id IS NOT NULL" for name in IDENTIFIERS)
        self._run(
            "UPDATE {transactions} AS t SET customer_id = coalesce(s.replacement, t.customer_id), "
            f"{', '.join(assignments)} FROM {{transactions}} AS o LEFT JOIN "
            f"pg_temp.synfin_customers AS s ON s.id = o.customer_id {joins} "
            f"WHERE t.transaction_id = o.transaction_id AND (s.id IS NOT NULL OR {replaced})"
        )
        n_transactions = self._cursor.rowcount
        self._run(
            "DELETE FROM {customers} WHERE customer_id IN (SELECT id FROM pg_temp.synfin_customers)"
        )
        counts = {"customers": n_customers, "transactions": n_transactions}
        for table, n_rows in counts.items():
            if n_rows:
                yield Changed(DATABASE, table, updated=n_rows)

    # -- Patterns ------------------------------------------------------------------------------

    def rewrite_patterns(self, identifiers: Identifiers, *, change: bool) -> Iterator[Changed]:
        """Remove or replace the identifiers in the tables of patterns.

        Parameters
        ----------
        identifiers
            What to remove or replace.
        change
            Whether to change the tables, or only to count.
        """
        for table in PATTERN_TABLES:
            deleted: list[tuple[int]] = []
            updated: list[tuple[Any, ...]] = []
            if change:  # no detection may merge with what a pattern was before
                self._run("SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))",
                          name=sql.Literal(pattern_lock(table)))  # fmt: skip
            for key, pattern in self._patterns(table):
                new = rewrite_pattern(pattern, identifiers)
                if new is None:
                    deleted.append((key,))
                elif new != pattern:
                    json = new.characteristics
                    text = None if json is None else format_json(json)
                    updated.append((key, text, new.name, new.description, new.detection_count))
            if change:
                self._change_patterns(table, deleted, updated)
            if deleted or updated:
                yield Changed(DATABASE, table, deleted=len(deleted), updated=len(updated))

    def _patterns(self, table: str) -> list[tuple[int, Pattern]]:
        """Read the patterns whose JSON contains one of the identifiers."""
        self._run(
            "SELECT id, characteristics::text, name, description, detection_count FROM {table} "
            "AS p WHERE EXISTS (SELECT FROM ("
            "SELECT v #>> '{{}}' AS id FROM jsonb_path_query(characteristics, '$.**') AS v "
            "WHERE jsonb_typeof(v) IN ('string', 'number') UNION ALL "
            "SELECT v #>> '{{}}' FROM jsonb_path_query(characteristics, "
            """'$.** ? (@.type() == "object").keyvalue().key', '{{}}', true) AS v """
            "UNION ALL SELECT name UNION ALL SELECT description) AS texts "
            "WHERE texts.id IN (SELECT id FROM pg_temp.synfin_customers UNION ALL "
            "SELECT id FROM pg_temp.synfin_identifiers {transaction_ids}) "
            # Sentences mention an id as a word.
            "OR (texts.id LIKE '% %' AND EXISTS (SELECT FROM (SELECT id FROM "
            "pg_temp.synfin_customers UNION ALL SELECT id FROM pg_temp.synfin_identifiers "
            "WHERE kind = ANY({contacts})) AS keys WHERE strpos(texts.id, keys.id) > 0))) "
            "ORDER BY id",
            table=self._table(table),
            contacts=sql.Literal(list(CONTACTS)),
            transaction_ids=sql.SQL(
                "" if self._pseudonyms else "UNION ALL SELECT id FROM pg_temp.synfin_transactions"
            ),
        )
        return [
            (key, Pattern(None if text is None else parse_json(text), *columns))
            for key, text, *columns in self._cursor.fetchall()
        ]

    def _change_patterns(
        self, table: str, deleted: Sequence[tuple[int]], updated: Sequence[tuple[Any, ...]]
    ) -> None:
        self._run(
            "CREATE TEMPORARY TABLE synfin_patterns (id bigint PRIMARY KEY, characteristics text, "
            "name text, description text, detection_count integer) ON COMMIT DROP"
        )
        self._copy("patterns", updated)
        self._run(
            "UPDATE {table} AS p SET characteristics = s.characteristics::jsonb, name = s.name, "
            "description = s.description, detection_count = s.detection_count "
            "FROM pg_temp.synfin_patterns AS s WHERE s.id = p.id; TRUNCATE pg_temp.synfin_patterns",
            table=self._table(table),
        )
        self._copy("patterns", [(*row, None, None, None, None) for row in deleted])
        self._run(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM pg_temp.synfin_patterns); "
            "DROP TABLE pg_temp.synfin_patterns",
            table=self._table(table),
        )

    # -- Statements ----------------------------------------------------------------------------

    def _table(self, name: str) -> sql.Composable:
        return sql.Identifier(self._schema, name)

    def _run(self, statement: str, **parts: sql.Composable) -> None:
        tables: Mapping[str, sql.Composable] = {
            name: self._table(name) for name in ("customers", "transactions")
        }
        self._cursor.execute(sql.SQL(statement).format(**{**tables, **parts}))

    def _value(self, statement: str, **parts: sql.Composable) -> Any:
        self._run(statement, **parts)
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    def _copy(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Fill a temporary table; a value is in the data of COPY, never in a statement."""
        text = io.StringIO("".join(map(_csv_line, rows)))
        self._cursor.copy_expert(f"COPY pg_temp.synfin_{table} FROM STDIN (FORMAT csv)", text)


_HAS_IDENTIFIER = "t.customer_id IN (SELECT id FROM pg_temp.synfin_customers)" + "".join(
    f" OR t.{name} IN (SELECT id FROM pg_temp.synfin_identifiers WHERE kind = '{name}')"
    for name in IDENTIFIERS
)


# -- Texts of COPY ---------------------------------------------------------------------------------


def _csv_line(row: Iterable[object]) -> str:
    """Return a row for COPY: NULL is empty, a text is quoted."""
    cells = ("" if value is None else '"{}"'.format(str(value).replace('"', '""')) for value in row)
    return ",".join(cells) + "\n"
