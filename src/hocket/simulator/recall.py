"""What calls give, by what they gave in a recorded run: the same at the same path, else alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hocket.core.reports import Report
from hocket.core.values import Json, canonical
from hocket.simulator.agents import Asked, Behaviour
from hocket.simulator.kinds import KindOfCall, Kinds
from hocket.simulator.teams import permitted, shown
from hocket.workflows.fits import misfit

NOTHING: Final = object()
"""What is given where the record holds nothing that would do."""


class Recall:
    """The outputs of a recorded run.

    Args:
        kinds: Which kind of call stands where.
        outputs: What each path gave in the end.
        agents: Who gave it.
        reports: What teams did, for what the labels stood for.
        otherwise: Says what a call gives of which the record knows nothing.
        judged: By the paths of verdicts those of the artefacts that they are on, in their order.

    Attributes:
        unlike: The kinds of call for which somebody has asked and of which nothing was recorded,
            or nothing that would fit.
    """

    def __init__(
        self,
        kinds: Kinds,
        outputs: Mapping[str, Json],
        agents: Mapping[str, str],
        reports: Mapping[str, Report],
        otherwise: Behaviour,
        judged: Mapping[str, str] | None = None,
    ) -> None:
        self._kinds = kinds
        self._outputs = outputs
        self._otherwise = otherwise
        self._contents = {
            path: {one.label: one.content for one in report.contributions}
            for path, report in reports.items()
        }
        self._agents = agents
        self._siblings: dict[KindOfCall, list[str]] = {}
        for path in sorted(outputs):
            self._siblings.setdefault(kinds.of(path), []).append(path)
        self._judged: dict[KindOfCall, dict[str, tuple[str, ...]]] = {}
        for path, source in (judged or {}).items():
            if path in outputs and source in outputs:
                artefacts = self._judged.setdefault(kinds.of(path), {})
                artefacts[source] = (*artefacts.get(source, ()), path)
        self._nearest: dict[tuple[str, str], tuple[str, ...]] = {}
        self.unlike: dict[KindOfCall, None] = {}

    def gives(self, asked: Asked) -> Json:
        """Say what a call gives."""
        source = asked.path
        alike = self._of_artefact(asked) if self._judged else ()
        if source not in (alike or self._outputs):
            known = alike or self._near(asked)
            if not known:
                return self._unknown(asked)
            source = known[int(asked.draw("sibling") * len(known))]
        value = self._fitted(self._outputs[source], asked, source)
        return self._unknown(asked) if value is NOTHING else value

    def _of_artefact(self, asked: Asked) -> tuple[str, ...]:
        """Give the recorded paths whose verdicts are on the artefact that this one is to judge.

        Who comes in a later round than in the record judges what has been mended since.
        """
        kind = self._kinds.of(asked.path)
        artefacts = self._judged.get(kind)
        if not artefacts:
            return ()
        given = asked.input
        text = given if isinstance(given, str) else canonical(given).decode()
        for source, paths in reversed(artefacts.items()):
            if _held(self._outputs[source], text):
                own = tuple([path for path in paths if self._agents.get(path) == asked.agent])
                return own or paths
        return ()

    def _unknown(self, asked: Asked) -> Json:
        self.unlike[self._kinds.of(asked.path)] = None
        return self._otherwise(asked)

    def _near(self, asked: Asked) -> tuple[str, ...]:
        """Give the recorded paths that are nearest: of the same kind, agent and place."""
        key = (asked.agent, asked.path)
        known = self._nearest.get(key)
        if known is None:
            all_ = self._siblings.get(self._kinds.of(asked.path), [])
            own = [path for path in all_ if self._agents.get(path) == asked.agent] or all_
            parts = asked.path.split("/")
            most = max((_shared(parts, path) for path in own), default=0)
            known = tuple([path for path in own if _shared(parts, path) == most])
            self._nearest[key] = known
        return known

    def _fitted(self, value: Json, asked: Asked, source: str) -> Json:
        """Give a recorded output as the call may give it now; `NOTHING` if it may not."""
        if isinstance(value, dict) and value.get("$") == "turn":
            if value.get("calls"):
                tools = [tool.name for tool in asked.job.tools]
                fits = all(call.get("name") in tools for call in value["calls"])
                return value if fits else NOTHING
            inner = self._answer(value.get("answer"), asked, source)
            if inner is NOTHING or not asked.job.tools:
                return inner
            return {**value, "answer": inner}
        inner = self._answer(value, asked, source)
        if inner is NOTHING or not asked.job.tools:
            return inner
        return {"$": "turn", "text": "", "calls": [], "answer": inner}

    def _answer(self, value: Json, asked: Asked, source: str) -> Json:
        schema = asked.job.output
        if schema is None:
            return value
        if permitted(schema) is not None:
            value = self._vote(value, asked, source)
        return NOTHING if value is NOTHING or misfit(schema, value) else value

    def _vote(self, value: Json, asked: Asked, source: str) -> Json:
        if not isinstance(value, dict) or "vote" not in value:
            return NOTHING
        fields = asked.job.output["properties"]
        revises = value.get("action") == "revise"
        if revises and "action" in fields:
            return value
        if revises:
            return NOTHING
        label = self._label(str(value["vote"]), asked, source)
        found = {**{"action": "vote", "answer": ""}, **value, "vote": label}
        return {name: given for name, given in found.items() if name in fields}

    def _label(self, label: str, asked: Asked, source: str) -> str:
        """Give the label that what was voted for has now: others may have joined."""
        contents = next(
            (known for path, known in self._contents.items() if source.startswith(path + "/")), {}
        )
        if label not in contents:
            return label
        answers = shown(asked)
        if answers.get(label) == contents[label]:
            return label
        return next((now for now, given in answers.items() if given == contents[label]), label)


def _held(artefact: Json, text: str) -> bool:
    """Tell whether a text holds an artefact, as it is or as JSON."""
    encoded = canonical(artefact).decode()
    if not isinstance(artefact, str):
        return encoded in text
    return bool(artefact) and (artefact in text or encoded[1:-1] in text)


def _shared(parts: list[str], path: str) -> int:
    """Count the names with which two paths begin alike."""
    count = 0
    for mine, other in zip(parts, path.split("/"), strict=False):
        if mine != other:
            break
        count += 1
    return count
