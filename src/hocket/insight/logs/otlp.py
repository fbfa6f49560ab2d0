"""Reads OpenTelemetry spans of generative AI as OTLP JSON: documents, or a span a line.

The names of attributes are those of the semantic conventions, old and new, of OpenInference and of
Traceloop; a span as a Python program prints it is read too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from hocket.core.errors import LogError
from hocket.core.values import Json, format_duration
from hocket.insight.logs.links import activities_of, finish_of, top_of
from hocket.insight.logs.otlp_span import Parts, span_of
from hocket.insight.logs.spans import MAX_SPANS, Inherited, Span, Tree, Words
from hocket.insight.logs.stream import Source
from hocket.insight.logs.values import CUT_OFF, backwards_said, cut_said
from hocket.insight.trace import Trace

MAX_TRACES: Final = 20_000
"""Traces in one file that are told apart."""

ALL: Final = "all"
"""The name for all traces of a file together."""

Chunks: TypeAlias = Callable[[], Iterable[bytes]]

_DEEPEST: Final = 4
"""Lists of lists of documents that are read."""

_RESOURCES: Final = {"resourceSpans", "resource_spans"}
_SCOPES: Final = {"scopeSpans", "scope_spans", "instrumentationLibrarySpans"}
_OF_SPAN: Final = {
    "traceId",
    "trace_id",
    "spanId",
    "span_id",
    "parentSpanId",
    "parent_span_id",
    "parent_id",
    "context",
    "name",
    "startTimeUnixNano",
    "start_time_unix_nano",
    "start_time",
    "endTimeUnixNano",
    "end_time_unix_nano",
    "end_time",
    "attributes",
    "status",
    "events",
    "kind",
}


class _One:
    """The spans of one trace, as far as they are kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = 1 << 63
        self.ended = 0
        self.count = 0
        self.spans: list[Span] = []
        self.ids: dict[bytes, int] = {}
        self.parents: list[bytes] = []
        self.known: dict[bytes, bytes] = {}
        self.backwards: list[str] = []

    def seen(self, span: Span) -> None:
        """Count a span, whether it is kept or not."""
        self.count += 1
        self.began = min(self.began, span.began)
        self.ended = max(self.ended, span.began if span.ended is None else span.ended)

    def keep(self, parts: Parts) -> None:
        """Keep a span."""
        self.ids.setdefault(parts.id, len(self.spans))
        self.parents.append(self.known.setdefault(parts.parent, parts.parent))
        self.spans.append(parts.span)
        if parts.backwards:
            self.backwards.append(parts.span.name)


class _Gathered:
    """What is read of a file.

    Args:
        only: The trace to keep; None keeps all, as far as there is room.
    """

    def __init__(self, only: str | None = None) -> None:
        self.only = only
        self.traces: dict[str, _One] = {}
        self.records = 0
        self.kept = 0
        self.left_out = 0
        self.until = 1 << 63
        self.odd = 0
        self.cut: LogError | None = None
        self.words = Words()

    def add(self, fields: dict[str, Json], service: str) -> None:
        """Take a span of the file."""
        self.records += 1
        parts = span_of(fields, service, self.records)
        if parts is None:
            self.odd += 1
            return
        trace = self.traces.get(parts.trace)
        if trace is None:
            if len(self.traces) >= MAX_TRACES:
                self.odd += 1
                return
            trace = self.traces[parts.trace] = _One(parts.trace)
        trace.seen(parts.span)
        if self.only is not None and parts.trace != self.only:
            return
        if self.kept >= MAX_SPANS:
            self.left_out += 1
            self.until = min(self.until, parts.span.began)
            return
        self.kept += 1
        self.words.share(parts.span)
        trace.keep(parts)


def read_otlp(chunks: Chunks, name: str, turn: str | None = None) -> Trace:
    """Read spans as a trace.

    Args:
        chunks: Gives the bytes of the file, from its beginning, each time that it is called.
        name: What to call the log.
        turn: The trace to take, by its number in the file or the beginning of its id, or ``all``;
            the longest, if it is None.

    Raises:
        LogError: It is broken, no such log, or has no such trace.
    """
    gathered = _gather(chunks(), None)
    chosen = _choice(gathered, turn)
    if gathered.left_out and len(chosen) < len(gathered.traces):
        wanted = chosen[0].name
        del gathered, chosen
        gathered = _gather(chunks(), wanted)
        if wanted not in gathered.traces or not gathered.kept:
            raise LogError("the file has changed while it was read", hint="read a copy of it")
        chosen = [gathered.traces[wanted]]
    missing = [*_said(gathered, chosen, turn), *_told(gathered)]
    trace = _trace(chosen, name, missing)
    if gathered.cut is not None:
        trace.status = CUT_OFF
    return trace


def _gather(chunks: Iterable[bytes], only: str | None) -> _Gathered:
    source = Source(chunks)
    gathered = _Gathered(only)
    try:
        if not source.peek():
            raise LogError("the file is empty", hint="give a file of OTLP JSON")
        while source.peek():
            _document(source, gathered)
    except LogError as error:
        if not error.cut or not gathered.kept:
            raise
        gathered.cut = error
    if not gathered.kept and not gathered.traces:
        raise LogError(
            "there is no span in it",
            hint='OTLP JSON begins with {"resourceSpans": […]}, or has a span on each line',
        )
    return gathered


def _document(source: Source, gathered: _Gathered, depth: int = 0) -> None:
    first = source.peek()
    if first == "[":
        if depth == _DEEPEST:
            source.fail("the value is nested too deeply")
        for _ in source.elements():
            _document(source, gathered, depth + 1)
        return
    if first != "{":
        source.fail(
            f"this is no OTLP JSON: it begins with {source.start()!r}",
            hint='OTLP JSON begins with {"resourceSpans": […]}, or has a span on each line',
        )
    fields: dict[str, Json] = {}
    for key in source.members():
        if key in _RESOURCES and source.peek() == "[":
            for _ in source.elements():
                _resource(source, gathered)
        elif key in _OF_SPAN or key == "resource":
            fields[key] = source.value()
        else:
            source.value()
    if fields.keys() & {"spanId", "span_id", "context"}:
        gathered.add(fields, _service(fields.get("resource")))


def _resource(source: Source, gathered: _Gathered) -> None:
    service = ""
    for key in source.members():
        if key == "resource":
            service = _service(source.value())
        elif key in _SCOPES and source.peek() == "[":
            for _ in source.elements():
                for inner in source.members():
                    if inner == "spans" and source.peek() == "[":
                        for _ in source.elements():
                            _span(source, gathered, service)
                    else:
                        source.value()
        else:
            source.value()


def _span(source: Source, gathered: _Gathered, service: str) -> None:
    if source.peek() != "{":
        source.fail("this is no OTLP JSON: a span is an object")
    gathered.add(source.value(), service)


def _service(resource: Json) -> str:
    attributes = resource.get("attributes") if isinstance(resource, dict) else None
    if isinstance(attributes, dict):
        return str(attributes.get("service.name", ""))[:80]
    for item in attributes if isinstance(attributes, list) else ():
        if isinstance(item, dict) and item.get("key") == "service.name":
            value = item.get("value")
            return str(value.get("stringValue", ""))[:80] if isinstance(value, dict) else ""
    return ""


def _choice(gathered: _Gathered, turn: str | None) -> list[_One]:
    traces = list(gathered.traces.values())
    if not traces:
        raise LogError("none of its spans says when it began", hint="are these spans?")
    if turn is None:
        return [max(traces, key=lambda trace: trace.ended - trace.began)]
    if turn == ALL:
        return traces
    named = [trace for trace in traces if trace.name.startswith(turn.lower())]
    if turn.isascii() and turn.isdigit() and 0 < int(turn[:9]) <= len(traces) and not named:
        named = [traces[int(turn[:9]) - 1]]
    if len(named) == 1:
        return named
    known = ", ".join(trace.name for trace in traces[:5]) + (", …" if len(traces) > 5 else "")
    raise LogError(
        f"{'no' if not named else 'more than one'} trace is called {turn!r}",
        hint=f"there are {len(traces)}: {known}",
    )


def _said(gathered: _Gathered, chosen: list[_One], turn: str | None) -> Iterable[str]:
    """Say which trace of several this is, and what is not kept of it."""
    if gathered.cut is not None:
        ended, began = max(one.ended for one in chosen), min(one.began for one in chosen)
        yield cut_said(gathered.cut, ended - began)
    if len(gathered.traces) > 1:
        if len(chosen) > 1:
            yield f"These are all {len(gathered.traces)} traces of the file together."
        else:
            took = format_duration(chosen[0].ended - chosen[0].began)
            why = ", the longest" if turn is None else ""
            yield (
                f"The file holds {len(gathered.traces)} traces; "
                f"this is {chosen[0].name or 'the one without an id'}{why}, of {took}."
            )
    if gathered.left_out:
        began = min(trace.began for trace in chosen)
        holds = format_duration(max(0, gathered.until - began))
        yield (
            f"{gathered.left_out:,} spans were left out, as only {MAX_SPANS:,} are kept: "
            f"the account holds for the first {holds}."
        )
    backwards = [name for trace in chosen for name in trace.backwards]
    if backwards:
        yield backwards_said(backwards)
    if gathered.odd:
        yield f"{gathered.odd:,} spans were left out: they do not say when they began, or of what."


def _told(gathered: _Gathered) -> Iterable[str]:
    """Say what no such log tells."""
    yield "What came after what is worked out from instants; spans do not record it."
    yield "Limits, queues and waits for them are not recorded."
    yield "Whether what a call gave was of use is not recorded: what did not fail counts as useful."
    yield "Costs are not recorded."


def _trace(chosen: list[_One], name: str, missing: list[str]) -> Trace:
    spans: list[Span] = []
    orphans = 0
    for one in chosen:
        start = len(spans)
        for span, parent in zip(one.spans, one.parents, strict=True):
            if parent:
                above = one.ids.get(parent)
                orphans += above is None
                span.parent = -1 if above is None else start + above
        spans += one.spans
        for each in (one.ids, one.parents, one.known, one.spans):
            each.clear()
    began = min(span.began for span in spans)
    ended = max(max(span.began, span.ended or 0) for span in spans)
    tree = Tree(_without_transport(Tree(spans)))
    del spans
    if orphans:
        missing.append(f"{orphans:,} spans lie in spans that are not in the file.")
    still = sum(span.ended is None for span in tree.spans)
    if still:
        missing.append(f"{still:,} spans do not say when they ended.")
    if not any(span.usage for span in tree.spans):
        missing.append("Tokens are not recorded.")
    inherited = Inherited(tree)
    top = top_of(tree)
    status = _status(tree, top)
    activities, tail = activities_of(
        tree, began, {}, inherited.work, inherited.who, lambda i: inherited.own(i, ""), ended
    )
    trace = Trace(
        run=chosen[0].name or name,
        name=top.name if top is not None else name,
        source="otlp",
        began=began,
        ended=ended,
        status=status,
        activities=activities,
        tail=tail,
        evidence="record",
        inferred=True,
        missing=tuple(missing),
    )
    trace.finish = finish_of(trace)
    return trace


def _status(tree: Tree, top: Span | None) -> str:
    if top is None or len(tree.children.get(-1, ())) > 1 or top.ended is None:
        return ""
    return "failed" if top.fate in {"failed", "refused", "cancelled"} else ""


def _without_transport(tree: Tree) -> list[Span]:
    """Leave out what lies within a model's call, unless it shows that the call was refused.

    What sends a request is no work of its own; but where it was sent again after a refusal, each
    sending is a call, and the last one has what the model spent.
    """
    call_of = [-1] * len(tree.spans)
    structure: dict[int, bool] = {}
    refused: dict[int, bool] = {}
    last: dict[int, int] = {}
    for index in tree.down():
        span = tree.spans[index]
        over = -1 if span.parent == -1 else call_of[span.parent]
        if over != -1 and span.kind:
            # Something of weight lies within: the call is structure.
            structure[over] = True
        if over == -1 or span.kind:
            call_of[index] = index if span.kind == "model" else -1
            continue
        call_of[index] = over
        if not tree.children.get(index):
            refused[over] = refused.get(over, False) or span.fate == "refused"
            held = last.get(over)
            if held is None or (tree.spans[held].ended or 0) <= (span.ended or 0):
                last[over] = index
    for call, index in last.items():
        if refused[call] and call not in structure:
            tree.spans[index].usage = tree.spans[call].usage
    kept = [
        index
        for index, call in enumerate(call_of)
        if call in {-1, index} or call in structure or refused.get(call)
    ]
    places = [-1] * (len(call_of) + 1)
    for place, index in enumerate(kept):
        places[index] = place
    for index in kept:
        # The last place is that of -1, which is no span.
        tree.spans[index].parent = places[tree.spans[index].parent]
    return [tree.spans[index] for index in kept]
