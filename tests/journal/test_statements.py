"""The journal's statements: PostgreSQL is told some of them in words of its own, by their text."""

from types import ModuleType

import pytest

from hocket.journal import (
    answers,
    blobs,
    book,
    hosted,
    ledger,
    listing,
    postgres_sql,
    schema,
    store,
)

MODULES = (answers, blobs, book, hosted, ledger, listing, schema, store)


def statements(module: ModuleType) -> dict[str, str]:
    """The statements that a module defines, by their names."""
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and value.split()[:1] != []
        if value.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}
    }


def test_no_two_statements_share_a_text() -> None:
    """Else one would be translated as the other."""
    names: dict[str, list[str]] = {}
    for module in MODULES:
        for name, sql in statements(module).items():
            names.setdefault(sql, []).append(name)
    shared = [of_one for sql, of_one in names.items() if len(of_one) > 1]
    special = [of_one for of_one in shared if statements_of(of_one) & postgres_sql.SPECIAL.keys()]
    assert special == []


def statements_of(names: list[str]) -> set[str]:
    return {sql for module in MODULES for name, sql in statements(module).items() if name in names}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_reading_takes_no_lock(module: ModuleType) -> None:
    for name, sql in statements(module).items():
        if sql.split()[0] == "SELECT" and "FOR NO KEY UPDATE" in postgres_sql.translate(sql):
            assert name.rpartition(".")[2] in {"LOCK_RUN", "OWNED"}, name
