"""Reads Chrome's trace events: an object with ``traceEvents``, or a bare list of events.

Spans on a thread lie within one another as they lie in time; flows are links between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hocket.core.errors import LogError
from hocket.core.values import Json, format_duration
from hocket.insight.logs.chrome_flows import Arrow, flows_of
from hocket.insight.logs.links import activities_of, finish_of
from hocket.insight.logs.spans import MAX_SPANS, Inherited, Kind, Span, Tree, Words
from hocket.insight.logs.stream import Source
from hocket.insight.logs.values import CUT_OFF, backwards_said, cut_said, scaled, text
from hocket.insight.trace import Trace

_BEGINS: Final = {"B": "E", "b": "e", "S": "F"}
_ENDS: Final = {"E": "B", "e": "b", "F": "S"}
_FLOWS: Final = frozenset("stf")
_US: Final = 1_000
_MODEL: Final = ("model", "gen_ai.request.model", "llm.model_name")
_NAMELESS: Final = ""


class _Events:
    """What is read of a file."""

    def __init__(self) -> None:
        self.records = 0
        self.spans: list[Span] = []
        self.open: dict[str, list[int]] = {}
        self.lost: dict[str, int] = {}
        self.ends_without = 0
        self.backwards: list[str] = []
        self.arrows: list[Arrow] = []
        self.threads: dict[str, str] = {}
        self.processes: dict[str, str] = {}
        self.left_out = 0
        self.until = 1 << 63
        self.odd = 0
        self.cut: LogError | None = None
        self.words = Words()

    def add(self, event: Json) -> None:
        """Take an event of the file."""
        self.records += 1
        phase = event.get("ph") if isinstance(event, dict) else None
        if not isinstance(phase, str):
            self.odd += 1
        elif phase == "M":
            self._name(event)
        elif phase == "X" or phase in _BEGINS or phase in _ENDS or phase in _FLOWS:
            at = scaled(event.get("ts"), _US)
            if at is None:
                self.odd += 1
            elif phase in _FLOWS:
                self._flow(event, phase, at)
            elif phase in _ENDS:
                self._end(event, phase, at)
            else:
                self._begin(event, phase, at)

    def lane(self, lane: str) -> str:
        """Give what people call a lane: its thread, or its process if that has just one."""
        process, _, thread = lane.partition("/")
        name = self.threads.get(lane) or (f"thread {thread}" if thread else "")
        over = self.processes.get(process, "")
        return f"{over}/{name}" if over and name else over or name

    def _begin(self, event: dict[str, Json], phase: str, at: int) -> None:
        ended = None
        if phase == "X":
            took = scaled(event.get("dur", 0), _US)
            ended = at + (took or 0)
            self.odd += took is None
        if len(self.spans) >= MAX_SPANS:
            self.left_out += 1
            self.until = min(self.until, at)
            if phase != "X":
                self.lost[_key(event, phase)] = self.lost.get(_key(event, phase), 0) + 1
            return
        if phase != "X":
            self.open.setdefault(_key(event, phase), []).append(len(self.spans))
        span = _span(event, phase, at, ended, self.records)
        self.words.share(span)
        self.spans.append(span)

    def _end(self, event: dict[str, Json], phase: str, at: int) -> None:
        key = _key(event, _ENDS[phase])
        if self.lost.get(key):
            self.lost[key] -= 1
            return
        waiting = self.open.get(key)
        if not waiting:
            self.ends_without += 1
            return
        span = self.spans[waiting.pop()]
        span.ended = max(span.began, at)
        if at < span.began:
            self.backwards.append(span.name)

    def _flow(self, event: dict[str, Json], phase: str, at: int) -> None:
        if len(self.arrows) < MAX_SPANS:
            name = f"{text(event.get('cat'))}/{_word(event.get('id'))}/{text(event.get('name'))}"
            self.arrows.append(Arrow(name, at, _lane(event), phase == "s"))

    def _name(self, event: dict[str, Json]) -> None:
        arguments = event.get("args")
        name = text(arguments.get("name")) if isinstance(arguments, dict) else ""
        if len(self.threads) + len(self.processes) >= MAX_SPANS or not name:
            return
        if event.get("name") == "thread_name":
            self.threads[_lane(event)] = name
        elif event.get("name") == "process_name":
            self.processes[_word(event.get("pid"))] = name


def read_chrome(chunks: Iterable[bytes], name: str) -> Trace:
    """Read trace events as a trace.

    Args:
        chunks: The bytes of the file.
        name: What to call the log.

    Raises:
        LogError: It is broken, or no such log.
    """
    events = _read(Source(chunks))
    if not events.spans:
        raise LogError(
            "there is no span in it",
            hint="spans are events whose 'ph' is X, B and E, or b and e",
        )
    # Where neither a thread nor a process has a name, spans are known by their own.
    lanes = {lane: events.lane(lane) for lane in {s.lane: None for s in events.spans}}
    for span in events.spans:
        span.lane = lanes[span.lane]
    began = min(span.began for span in events.spans)
    ended = max(max(span.began, span.ended or 0) for span in events.spans)
    tree = Tree(events.spans)
    events.spans.clear()
    inherited = Inherited(tree)
    flows = flows_of(tree, events.arrows, lanes)
    missing = tuple(_missing(events, tree, began, ended, len(flows)))
    # A span on a thread that says no more is a function, which runs for as long as it lasts.
    activities, tail = activities_of(
        tree, began, flows, inherited.work, inherited.who, lambda i: inherited.own(i, "tool"), ended
    )
    trace = Trace(
        run=name,
        name=name,
        source="chrome",
        began=began,
        ended=ended,
        status="" if events.cut is None else CUT_OFF,
        activities=activities,
        tail=tail,
        evidence="record",
        inferred=True,
        missing=missing,
    )
    trace.finish = finish_of(trace)
    return trace


def _read(source: Source) -> _Events:
    events = _Events()
    first = source.peek()
    if not first:
        raise LogError("the file is empty", hint="give a file of Chrome's trace events")
    if first not in "[{":
        source.fail(
            f"these are no trace events: the file begins with {source.start()!r}",
            hint='they begin with {"traceEvents": […]} or with a list',
        )
    try:
        if first == "[":
            _bare(source, events)
        else:
            for key in source.members():
                if key == "traceEvents" and source.peek() == "[":
                    for _ in source.elements():
                        events.add(source.value())
                else:
                    source.value()
        if source.peek():
            source.fail(f"the trace has ended, and {source.start()!r} comes after it")
    except LogError as error:
        if not error.cut or not events.spans:
            raise
        events.cut = error
    _nest(events)
    return events


def _bare(source: Source, events: _Events) -> None:
    """Read a list that may lack its end: Chrome allows that, so that a crash loses nothing."""
    try:
        for _ in source.elements():
            if not source.peek():
                return
            events.add(source.value())
    except LogError as error:
        if not error.cut or source.peek():
            raise


def _lane(event: dict[str, Json]) -> str:
    return f"{_word(event.get('pid'))}/{_word(event.get('tid'))}"


def _word(value: Json) -> str:
    return str(value) if isinstance(value, int) else text(value)


def _key(event: dict[str, Json], phase: str) -> str:
    """Name the stack that an event is of: a thread's, or that of an asynchronous operation."""
    if phase == "B":
        return _lane(event)
    within = event.get("id2")
    within = within if isinstance(within, dict) else {}
    own = _word(event.get("id", within.get("global", within.get("local"))))
    process = _word(event.get("pid")) if "local" in within else ""
    return f"{phase}/{process}/{text(event.get('cat'))}/{text(event.get('scope'))}/{own}"


def _span(event: dict[str, Json], phase: str, at: int, ended: int | None, record: int) -> Span:
    arguments = event.get("args")
    arguments = arguments if isinstance(arguments, dict) else {}
    model = next((found for key in _MODEL if (found := text(arguments.get(key)))), "")
    kind: Kind = "model" if model else ""
    lane = _lane(event)
    return Span(
        name=text(event.get("name")),
        began=at,
        ended=ended,
        record=record,
        kind=kind,
        agent=text(arguments.get("gen_ai.agent.name")) or text(arguments.get("agent")),
        model=model,
        # Asynchronous operations overlap on their thread: each has a lane to itself.
        asks=_NAMELESS if phase in {"X", "B"} else _key(event, phase),
        lane=lane,
    )


def _nest(events: _Events) -> None:
    """Say of each span in which other it lies: the innermost of its lane that it fits in."""
    order = sorted(
        range(len(events.spans)),
        key=lambda at: (events.spans[at].began, -_end(events.spans[at]), at),
    )
    stacks: dict[str, list[int]] = {}
    for index in order:
        span = events.spans[index]
        stack = stacks.setdefault(span.asks or span.lane, [])
        span.asks = _NAMELESS
        while stack and (
            _end(events.spans[stack[-1]]) < _end(span)
            or _end(events.spans[stack[-1]]) <= span.began < _end(span)
        ):
            stack.pop()
        if stack:
            span.parent = stack[-1]
        stack.append(index)


def _end(span: Span) -> int:
    return 1 << 63 if span.ended is None else span.ended


def _missing(events: _Events, tree: Tree, began: int, ended: int, flows: int) -> Iterable[str]:
    """Say what the log does not tell."""
    if events.cut is not None:
        yield cut_said(events.cut, ended - began)
    still = sum(span.ended is None for span in tree.spans)
    if still:
        yield f"{still:,} spans have a beginning and no end."
    if events.ends_without:
        yield f"{events.ends_without:,} ends have no beginning, and were left out."
    if events.left_out:
        holds = format_duration(max(0, events.until - began))
        yield (
            f"{events.left_out:,} spans were left out, as only {MAX_SPANS:,} are kept: "
            f"the account holds for the first {holds}."
        )
    if events.backwards:
        yield backwards_said(events.backwards)
    if events.odd:
        yield f"{events.odd:,} events were left out: they have no kind, or no time."
    linked = f"; {flows:,} links are flows that it records" if flows else ""
    yield f"What came after what is worked out from instants{linked}."
    yield "Limits, queues, waits for them, tokens and costs are not recorded."
    yield "Whether what a span gave was of use is not recorded: all of them count as useful."
