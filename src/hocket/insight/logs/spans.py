"""Spans: stretches of time with names, one within another, as most programs write them down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.events import Usage
from hocket.core.reports import Fate

MAX_SPANS: Final = 100_000
"""Spans that are kept of one log."""

_PATH: Final = 400
_NOBODY: Final = -1

Kind: TypeAlias = Literal["model", "tool", "agent", ""]


class Span(msgspec.Struct, gc=False):
    """A stretch of time with a name.

    Fields:
        name: What it is called.
        began: When it began.
        ended: When it ended; None if the log does not say.
        record: Where it stands in the log.
        parent: The index of the span that it lies in; -1 if there is none.
        kind: ``model`` for a call of a model, ``tool`` for one of a tool, ``agent`` for the work
            of an agent as a whole; "" if the log does not say.
        agent: The agent that it names.
        model: The model that it names.
        fate: What became of it.
        how: The kind of its fault.
        usage: What it spent.
        asks: A name for what was asked.
        lane: Where it ran, for logs that know threads.
    """

    name: str
    began: int
    ended: int | None
    record: int
    parent: int = _NOBODY
    kind: Kind = ""
    agent: str = ""
    model: str = ""
    fate: Fate | Literal[""] = "useful"
    how: str = ""
    usage: Usage | None = None
    asks: str = ""
    lane: str = ""


class Tree:
    """Spans in the order of their beginnings, and what lies in what.

    Args:
        spans: The spans, in any order; parents are indices into this list.

    Attributes:
        spans: The same in order, with parents as indices into this one.
        children: The children of each, by its index; those of -1 have no parent.
        moved: Where each span of the given list now is.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        # A span that was longer is above one that began with it.
        order = sorted(range(len(spans)), key=lambda at: _place(spans[at], at))
        self.moved = [0] * len(spans)
        for new, old in enumerate(order):
            self.moved[old] = new
        self.spans = [spans[old] for old in order]
        for span in self.spans:
            if span.parent != _NOBODY:
                span.parent = self.moved[span.parent]
        self._uproot()
        self.children: dict[int, list[int]] = {}
        for index, span in enumerate(self.spans):
            self.children.setdefault(span.parent, []).append(index)

    def above(self, index: int) -> Iterator[Span]:
        """Give a span and all that it lies in, innermost first."""
        while index != _NOBODY:
            yield self.spans[index]
            index = self.spans[index].parent

    def down(self) -> list[int]:
        """Give all indices, each parent before what lies in it."""
        found = list(self.children.get(_NOBODY, ()))
        for index in found:
            found.extend(self.children.get(index, ()))
        return found

    def _uproot(self) -> None:
        """Take the parent from a span that lies in itself, however far around."""
        known = [False] * len(self.spans)
        for start in range(len(self.spans)):
            index, seen = start, []
            mine: dict[int, None] = {}
            while index != _NOBODY and not known[index]:
                if index in mine:
                    self.spans[index].parent = _NOBODY
                    break
                mine[index] = None
                seen.append(index)
                index = self.spans[index].parent
            for index in seen:
                known[index] = True


def _place(span: Span, at: int) -> tuple[int, int, int]:
    return span.began, -span.ended if span.ended is not None else -(1 << 63), at


class Words:
    """Gives one text for equal texts, so that a name that comes up often takes little memory."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def same(self, text: str) -> str:
        """Give the first text that was equal to this one."""
        found = self._known.get(text)
        if found is None:
            found = text
            if len(self._known) < MAX_SPANS:
                self._known[text] = text
        return found

    def share(self, span: Span) -> None:
        """Let a span share its texts with others."""
        span.name = self.same(span.name)
        span.agent = self.same(span.agent)
        span.model = self.same(span.model)
        span.how = self.same(span.how)
        span.lane = self.same(span.lane)


class Names:
    """Names of paths: each text once, and how often it has come up.

    Args:
        tree: The spans.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._above: dict[int, str] = {_NOBODY: ""}
        self._times: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    def path(self, index: int) -> tuple[str, int]:
        """Give the path of a span that is work, and which one at that path it is."""
        span = self._tree.spans[index]
        name = self._joined(self._of(span.parent), span.name)
        name = self._texts.setdefault(name, name)
        attempt = self._times.get(name, 0) + 1
        self._times[name] = attempt
        return name, attempt

    def _of(self, index: int) -> str:
        todo: list[int] = []
        while index not in self._above:
            todo.append(index)
            index = self._tree.spans[index].parent
        text = self._above[index]
        for below in reversed(todo):
            text = self._joined(text, self._tree.spans[below].name)
            self._above[below] = text
        return text

    def _joined(self, above: str, name: str) -> str:
        name = name or "?"
        if not above:
            return name
        # What is nearest says most of a path that is too long to show.
        whole = f"{above}/{name}"
        return whole if len(whole) <= _PATH else "…" + whole[1 - _PATH :]


class Inherited:
    """What was at work in each span, and who: where it does not say so, what is above does.

    Args:
        tree: The spans.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        size = len(tree.spans)
        self._kinds: list[Kind] = [""] * size
        self._agents = [""] * size
        self._models = [""] * size
        for index in tree.down():
            span = tree.spans[index]
            above = span.parent
            self._kinds[index] = span.kind or (self._kinds[above] if above != _NOBODY else "")
            self._agents[index] = span.agent or (self._agents[above] if above != _NOBODY else "")
            self._models[index] = span.model or (self._models[above] if above != _NOBODY else "")

    def work(self, index: int) -> Literal["model", "tool"]:
        """Say what was at work in a span."""
        span = self._tree.spans[index]
        kind = self._kinds[index]
        if kind == "agent" and not span.kind:
            # A part of an agent's work that nothing more is known of.
            return "tool"
        return "model" if kind in {"model", "agent"} else "tool"

    def own(self, index: int, plain: str) -> str:
        """Name whose time it is that a span spends in none of those within it.

        Args:
            index: The span.
            plain: What a span of which the log does not say what it is counts as.
        """
        span = self._tree.spans[index]
        kind = span.kind or plain
        if kind not in {"model", "tool"}:
            return f"own:{span.name}"
        return f"{kind}:{self.who(index)[0]}"

    def who(self, index: int) -> tuple[str, str]:
        """Give the agent and the model of a span."""
        span = self._tree.spans[index]
        model = self._models[index] if self.work(index) == "model" else ""
        tool = span.name if span.kind == "tool" else ""
        return self._agents[index] or model or tool or span.lane or span.name, model
