"""Reads one OpenTelemetry span: its ids, instants and what its attributes say."""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from hocket.core.events import Usage
from hocket.core.reports import Fate
from hocket.core.values import Json, digest
from hocket.insight.logs.spans import Kind, Span
from hocket.insight.logs.values import iso, scaled, text, whole

_OPERATIONS: Final[dict[str, Kind]] = {
    "chat": "model",
    "completion": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "model",
    "embedding": "model",
    "rerank": "model",
    "llm": "model",
    "reranker": "model",
    "execute_tool": "tool",
    "tool": "tool",
    "retriever": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "agent": "agent",
}
"""What operations, span kinds of OpenInference and of Traceloop, and types of requests are."""

_OPERATION: Final = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "llm.request.type",
)
_MODEL: Final = (
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "embedding.model_name",
    "llm.response.model",
    "llm.request.model",
)
_AGENT: Final = ("gen_ai.agent.name", "agent.name", "graph.node.id")
_IN: Final = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
)
_OUT: Final = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
)
_CACHED: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_ASKED: Final = ("gen_ai.input.messages", "gen_ai.prompt", "input.value", "gen_ai.prompt.0.content")
_HTTP: Final = ("http.response.status_code", "http.status_code", "rpc.grpc.status_code")
_TOOL: Final = ("gen_ai.tool.name", "tool.name")
_OTHERS: Final = ("error.type", "traceloop.entity.name")
_NAMES: Final = (_OPERATION, _MODEL, _AGENT, _IN, _OUT, _CACHED, _ASKED, _HTTP, _TOOL, _OTHERS)
_WANTED: Final = frozenset(name for names in _NAMES for name in names)

_TOO_MANY: Final = 429
_EXHAUSTED: Final = 8
_BAD: Final = 400
_ERROR: Final = 2
_REFUSED: Final = re.compile(r"rate.?limit|too.?many.?requests|resource.?exhausted|\b429\b", re.I)
_CANCELLED: Final = re.compile(r"cancel|abort|GeneratorExit", re.I)
_ZEROS: Final = re.compile(r"0*\Z")
_BASE64: Final = (12, 24)
"""How long ids of 8 and 16 bytes are in base64."""


class Parts(NamedTuple):
    """A span with the ids that say where it belongs."""

    trace: str
    id: bytes
    parent: bytes
    span: Span
    backwards: bool


def span_of(fields: dict[str, Json], service: str, record: int) -> Parts | None:
    """Read a span; None if it does not say what it is or when it began.

    Args:
        fields: The span.
        service: The service that it is of.
        record: Where it stands in the log.
    """
    context = fields.get("context")
    ids = context if isinstance(context, dict) else fields
    name = _id(ids.get("spanId") or ids.get("span_id"))
    began = _instant(fields, "startTimeUnixNano", "start_time_unix_nano", "start_time")
    if not name or not began:
        return None
    ended = _instant(fields, "endTimeUnixNano", "end_time_unix_nano", "end_time")
    attributes = _attributes(fields.get("attributes"))
    fate, how = _fate(fields, attributes)
    kind = _kind(attributes)
    span = Span(
        name=_name(text(fields.get("name")), attributes, kind),
        began=began,
        ended=max(began, ended) if ended else None,
        record=record,
        kind=kind,
        agent=_agent(attributes, kind),
        model=_first(attributes, _MODEL),
        fate=fate,
        how=how,
        usage=_usage(attributes),
        asks=_asks(attributes) if kind == "model" else "",
        lane=service,
    )
    parent = _id(
        fields.get("parentSpanId") or fields.get("parent_span_id") or fields.get("parent_id")
    )
    trace = _id(ids.get("traceId") or ids.get("trace_id"))
    return Parts(trace, _packed(name), _packed(parent), span, 0 < ended < began)


def _id(value: Json) -> str:
    """Give an id in hexadecimal, as which most write it; base64 is what protobuf makes of it."""
    said = text(value)
    if len(said) in _BASE64 and said.endswith("="):
        try:
            return binascii.a2b_base64(said, strict_mode=True).hex()
        except ValueError:
            return said
    said = said.lower().removeprefix("0x")
    return "" if _ZEROS.match(said) else said


def _packed(name: str) -> bytes:
    """Give an id in as little memory as it takes."""
    try:
        return binascii.a2b_hex(name)
    except ValueError:
        return name.encode("utf-8", "replace")


def _instant(fields: dict[str, Json], *names: str) -> int:
    for name in names:
        value = fields.get(name)
        if value is not None:
            found = iso(value)
            return (scaled(value, 1) if found is None else found) or 0
    return 0


def _attributes(given: Json) -> dict[str, Json]:
    if isinstance(given, dict):
        return {key: value for key, value in given.items() if key in _WANTED}
    found: dict[str, Json] = {}
    for item in given if isinstance(given, list) else ():
        if isinstance(item, dict) and isinstance(item.get("key"), str) and item["key"] in _WANTED:
            value = item.get("value")
            # One value under the name of its type.
            found[item["key"]] = (
                next(iter(value.values()), None) if isinstance(value, dict) else value
            )
    return found


def _first(attributes: dict[str, Json], names: tuple[str, ...]) -> str:
    for name in names:
        if found := text(attributes.get(name)):
            return found
    return ""


def _count(attributes: dict[str, Json], names: tuple[str, ...]) -> int | None:
    for name in names:
        if (found := whole(attributes.get(name))) is not None:
            return found
    return None


def _kind(attributes: dict[str, Json]) -> Kind:
    for name in _OPERATION:
        word = text(attributes.get(name)).lower()
        if word:
            return _OPERATIONS.get(word, "")
    if _first(attributes, _TOOL):
        return "tool"
    return "model" if _first(attributes, _MODEL) else ""


def _name(name: str, attributes: dict[str, Json], kind: Kind) -> str:
    if kind == "tool":
        return _first(attributes, _TOOL) or name
    return name


def _agent(attributes: dict[str, Json], kind: Kind) -> str:
    named = _first(attributes, _AGENT)
    if named or kind != "agent":
        return named
    return text(attributes.get("traceloop.entity.name"))


def _usage(attributes: dict[str, Json]) -> Usage | None:
    given, taken = _count(attributes, _IN), _count(attributes, _OUT)
    if given is None and taken is None:
        return None
    return Usage(tokens_in=given, tokens_out=taken, tokens_cached=_count(attributes, _CACHED))


def _asks(attributes: dict[str, Json]) -> str:
    for name in _ASKED:
        value = attributes.get(name)
        if value:
            said = f"{_first(attributes, _MODEL)}\0{value!r}"
            return digest(said.encode("utf-8", "replace"))[:16]
    return ""


def _fate(fields: dict[str, Json], attributes: dict[str, Json]) -> tuple[Fate, str]:
    status = fields.get("status")
    status = status if isinstance(status, dict) else {}
    code = status.get("code", status.get("status_code"))
    http = _count(attributes, _HTTP[:2])
    grpc = whole(attributes.get(_HTTP[2]))
    how = text(attributes.get("error.type")) or _exception(fields.get("events"))
    bad = code == _ERROR or (isinstance(code, str) and code.upper().endswith("ERROR"))
    said = f"{how} {text(status.get('message'))} {text(status.get('description'))}"
    if http == _TOO_MANY or grpc == _EXHAUSTED or ((bad or how) and _REFUSED.search(said)):
        return "refused", how or "rate_limited"
    if not bad and not how and (http is None or http < _BAD):
        return "useful", ""
    if _CANCELLED.search(how):
        return "cancelled", how
    return "failed", how or (str(http) if http is not None else "failed")


def _exception(events: Json) -> str:
    """Give the type of the last exception among a span's events."""
    for event in reversed(events) if isinstance(events, list) else ():
        attributes = event.get("attributes") if isinstance(event, dict) else None
        if isinstance(attributes, dict):
            found = text(attributes.get("exception.type"))
        else:
            found = next(
                (
                    text(next(iter(item["value"].values()), ""))
                    for item in (attributes if isinstance(attributes, list) else ())
                    if isinstance(item, dict)
                    and item.get("key") == "exception.type"
                    and isinstance(item.get("value"), dict)
                ),
                "",
            )
        if found:
            return found
    return ""
