"""Turns what a provider's client raises into a fault that says whether repeating can help.

No key and no authorization header passes: a server may send back what it was sent, and a fault
stands in the journal, in logs and on pages.
Nothing is imported from the client packages; errors are known by their names and attributes.
"""

from __future__ import annotations

import email.utils
import json
import math
import os
import re
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from hocket.agents.output import clip, fault
from hocket.core.errors import AgentError, FaultKind
from hocket.core.values import HOUR, SECOND

LONGEST_WAIT = HOUR
"""The longest that a provider can make us wait; some send nonsense."""

_REDACTED = "[redacted]"
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_PATTERNS = (
    re.compile(
        r"((?:proxy-)?authorization|(?:x-|x-goog-)?api[-_ ]?key)"
        r"([\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|token)\s+)?"
        r"(?!\.{3})[^\s\"',;}<]+",  # A library's advice says api_key=...
        re.IGNORECASE,
    ),
    re.compile(r"\b(bearer)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"\b(sk|pk|rk|gsk|xai)(-)[\w-]{8,}"),
    re.compile(r"(://)()[^/\s@]+(?=@)"),
)
_AGAIN = frozenset({408, 409, 425})
_TRANSPORT = ("httpx", "httpx2", "httpcore", "httpcore2", "anyio", "ssl", "h11", "h2")
_BAD_BODY = frozenset({"JSONDecodeError", "UnicodeDecodeError", "ValidationError"})


def secrets_of(*keys: str | None) -> tuple[str, ...]:
    """Give every value that must not be shown: the given keys, and what the environment has."""
    known = {key for key in keys if key}
    known |= {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    # A short value would make holes in innocent words. The longest first: one may hold another.
    return tuple(sorted((key for key in known if len(key) >= 6), key=len, reverse=True))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Take keys and authorization headers out of a text."""
    for secret in secrets:
        for written in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(written, _REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1\2{_REDACTED}", text)
    return text


def fault_of(error: Exception, model: str, secrets: Iterable[str] = ()) -> AgentError:
    """Say what an error of a provider's client means.

    Args:
        error: What was raised.
        model: Whom we asked, for the message.
        secrets: What must not be shown.
    """
    secrets = tuple(secrets)
    if isinstance(error, AgentError):
        ours = error.fault
        message, detail = redact(ours.message, secrets), redact(ours.detail, secrets)
        return fault(ours.kind, message, detail, ours.retry_after)
    kind, what = _meaning(error)
    wait = retry_after(error) if kind in {"rate_limited", "unavailable"} else None
    said = redact(_said(error), secrets)
    message = f"{model}: {what}" + (f": {clip(said)}" if said else "")
    detail = _detail(error) if kind == "failed" else _body(error)
    return fault(kind, message, detail=redact(detail, secrets), retry_after=wait)


def _meaning(error: Exception) -> tuple[FaultKind, str]:
    """Give the kind of a fault, and what happened in a few words."""
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if "ModelQuotaExceededError" in names:
        # It comes as a 429 too, but no wait will help.
        return "permanent", "the account's quota or credit is used up"
    if isinstance(status, int):
        return _by_status(status)
    if "ModelRateLimitError" in names:
        return "rate_limited", "refused for now"
    if "ModelRequestRejectedError" in names:
        return "permanent", "the request was rejected"
    if "ContentFilterError" in names:
        return "permanent", "refused by the provider's content filter"
    if names & {"ModelTimeoutError", "ModelRequestTimeout"}:
        return "unavailable", "no answer in time"
    if "ModelConnectionError" in names:
        return "unavailable", "the connection failed"
    if names & {"ModelAPIError", "UnexpectedModelBehavior"} or names & _BAD_BODY:
        return "unavailable", "the answer is not one of this API"
    if "UserError" in names:
        return "permanent", "the call cannot be made"
    if isinstance(error, OSError | EOFError) or _module(error) in _TRANSPORT:
        return "unavailable", "the connection failed"
    return "failed", f"the client raised {type(error).__name__}"


def _by_status(status: int) -> tuple[FaultKind, str]:
    if status == 429:
        return "rate_limited", "refused for now (status 429)"
    if status in _AGAIN or status >= 500:
        return "unavailable", f"not available (status {status})"
    if status in {401, 403}:
        return "permanent", f"the key is not accepted (status {status})"
    if status == 404:
        return "permanent", "no such model or address (status 404)"
    return "permanent", f"the request was rejected (status {status})"


def _module(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def _said(error: Exception) -> str:
    """Give the peer's own words, in one line."""
    body = getattr(error, "body", None)
    if isinstance(body, str) and "<html" in body[:2000].lower():
        return "an HTML page came instead of JSON"
    inner = body.get("error", body) if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else inner
    if not said:
        said = str(error) or type(error).__name__
    if "<html" in str(said)[:2000].lower():
        return "an HTML page came instead of JSON"
    return " ".join(str(said).split())


def _body(error: Exception) -> str:
    body = getattr(error, "body", None)
    return str(error) if body is None else str(body)


def _detail(error: Exception) -> str:
    return "".join(traceback.format_exception(error, limit=-8))


# ---- how long to wait ----


def retry_after(error: Exception) -> int | None:
    """Give the nanoseconds that the provider asked us to wait, never more than `LONGEST_WAIT`."""
    headers = getattr(error, "headers", None)
    if isinstance(headers, Mapping):
        return _from_headers({str(key).lower(): str(value) for key, value in headers.items()})
    return _bounded(getattr(error, "retry_after", None))


def _from_headers(headers: Mapping[str, str]) -> int | None:
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return _bounded(exact / 1000)
    stated = headers.get("retry-after")
    seconds = _number(stated)
    if seconds is None and stated:
        until = _date(stated)
        # The server's own clock where it shows it: ours may be wrong.
        now = _date(headers.get("date", "")) or time.time()
        seconds = None if until is None else max(0.0, until - now)
    return _bounded(seconds)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _bounded(seconds: Any) -> int | None:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        return None
    return round(min(seconds, LONGEST_WAIT // SECOND) * SECOND)
