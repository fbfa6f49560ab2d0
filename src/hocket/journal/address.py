"""The address of a journal's database, as people write it and as it may be shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from hocket.core.errors import Refused

FORM: Final = "postgresql://user@host:port/database"
"""How it is written."""

_PAIR: Final = re.compile(
    r"\s*(host|hostaddr|port|dbname|user|password|passfile|service|sslmode|options)\s*="
)
_CODES: Final = "/ as %2F, # as %23, ? as %3F, @ as %40, [ as %5B, % as %25"


class Address:
    """Where a database is, with the user and the password that count now.

    Args:
        url: How it was said at first.
        again: Gives it as it is said by now; None if it stays as it is.
    """

    def __init__(self, url: str, again: Callable[[], str] | None = None) -> None:
        self._url = url
        self._again = again

    def now(self) -> str:
        """Give it for another connection.

        One of another database is left to processes that begin later: whoever owns runs in one
        must not find another in its place.
        """
        if self._again is not None:
            try:
                found = self._again()
            except Refused:
                # Somebody may be writing it: what counted before tells whether anything is wrong.
                return self._url
            if _place(found) == _place(self._url):
                self._url = found
        return self._url


def each_host(url: str) -> list[str]:
    """Give an address for each of the hosts that one names, in its order."""
    start, found, rest = url.partition("://")
    authority, tail = _parted(rest)
    who, at, hosts = authority.rpartition("@")
    return [f"{start}{found}{who}{at}{host}{tail}" for host in hosts.split(",")]


def _parted(rest: str) -> tuple[str, str]:
    """Part what comes behind the scheme: who and where, and the rest from its first sign on."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return authority, rest[len(authority) :]


def _place(url: str) -> tuple[object, ...]:
    """Give what an address says but who comes, and with which password."""
    scheme, _, rest = url.partition("://")
    authority, tail = _parted(rest)
    path, _, query = tail.partition("?")
    asked = parse_qsl(query, keep_blank_values=True)
    said = sorted(pair for pair in asked if pair[0] not in {"user", "password"})
    return scheme, authority.rpartition("@")[2], path, said


def shown(url: str) -> str:
    """Give a database's address without what is secret in it."""
    if "://" not in url:
        return url
    try:
        hosts = ",".join(map(_host_of, each_host(url)))
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://…"
    return f"{parts.scheme}://{hosts}{parts.path}"


def _host_of(url: str) -> str:
    """Give the host of an address, and its port if it says one."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    host = parts.hostname or asked.get("host", [""])[-1]
    number = parts.port or asked.get("port", [""])[-1]
    return f"{host}:{number}" if number else host


def mistake_in(address: str) -> str:
    """Say what is wrong in how an address is written, without a word of it; "" if nothing is."""
    if _PAIR.match(address):
        return f"an address of key=value pairs is not understood: write {FORM}"
    _, found, rest = address.partition("://")
    if not found:
        return ""
    authority, tail = _parted(rest)
    # Where a password is cut off, what comes after it does not belong to the path or the query.
    cut = "@" not in authority and "@" in re.split(r"[?&][^=&@]*=", tail, maxsplit=1)[0]
    if cut or "#" in rest or authority.count("@") > 1 or "[" in authority.rpartition("@")[0]:
        return f"it cannot be told where the password ends: in users and passwords write {_CODES}"
    try:
        parts = [urlsplit(each) for each in each_host(address)]
        _ = [each.port for each in parts]
    except ValueError:
        return f"the host or the port cannot be read: write {FORM}"
    if len(parts) > 1 and not all(each.hostname for each in parts):
        return "a host is missing before or behind a comma"
    return ""
