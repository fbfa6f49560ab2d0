"""The address of a journal's database, as people write it and as it may be shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

FORM: Final = "postgresql://user@host:port/database"
"""How it is written."""

_PAIR: Final = re.compile(
    r"\s*(host|hostaddr|port|dbname|user|password|passfile|service|sslmode|options)\s*="
)
_CODES: Final = "/ as %2F, # as %23, ? as %3F, @ as %40, [ as %5B, % as %25"


def shown(url: str) -> str:
    """Give a database's address without what is secret in it."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        asked = parse_qs(parts.query)
        host = parts.hostname or asked.get("host", [""])[-1]
        number = parts.port or asked.get("port", [""])[-1]
    except ValueError:
        return f"{url.partition('://')[0]}://…"
    port = f":{number}" if number else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def mistake_in(address: str) -> str:
    """Say what is wrong in how an address is written, without a word of it; "" if nothing is."""
    if _PAIR.match(address):
        return f"an address of key=value pairs is not understood: write {FORM}"
    _, found, rest = address.partition("://")
    if not found:
        return ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    # Where a password is cut off, what comes after it does not belong to the path or the query.
    cut = "@" not in authority and "@" in re.split(r"[?&][^=&@]*=", tail, maxsplit=1)[0]
    if cut or "#" in rest or authority.count("@") > 1 or "[" in authority.rpartition("@")[0]:
        return f"it cannot be told where the password ends: in users and passwords write {_CODES}"
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return f"the host or the port cannot be read: write {FORM}"
    return ""
