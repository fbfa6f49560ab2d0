"""Names what is asked: by all that goes into a call, and nothing that only says when or how fast.

Two calls of one name would be asked the very same, so the answer of one is an answer of the other.
Those who are asked the same on purpose have different names: the members of a team, and the rounds
of a step that is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hocket.core.machine import JobSpec
from hocket.core.specs import AgentKind, AgentSpec
from hocket.core.values import Json, canonical, digest

VERSION: Final = 1
"""Part of every name: answers that were kept under another meaning of names are not found."""

_SAME_ANSWER: Final[Mapping[AgentKind, frozenset[str]]] = {
    "model": frozenset({"stream", "key_env", "price"}),
    "local": frozenset({"threads"}),
    "command": frozenset({"grace"}),
    "function": frozenset({"mode"}),
    "scripted": frozenset(),
    "session": frozenset(),
    "mcp": frozenset({"keep"}),
    "population": frozenset(),
}
"""Options that say how an answer comes, and nothing of what it is."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Fields:
        key: Names all of it.
        kin: Names all of it but the prompt, if that is a text; else "".
        text: The prompt, if it is a text.
    """

    key: str
    kin: str = ""
    text: str = ""


def question_of(
    agent: AgentSpec, job: JobSpec, given: Json, path: str, content: str = ""
) -> Question:
    """Name what a call is asked.

    Args:
        agent: Who is asked.
        job: How.
        given: The rendered input.
        path: Where in the run.
        content: What the agent is besides its spec.
    """
    parts = {
        "version": VERSION,
        "kind": agent.kind,
        "content": content,
        "options": _options(agent, job),
        "output": job.output,
        "tools": [[tool.name, tool.about, tool.schema] for tool in job.tools],
        "sample": job.sample,
        "rounds": _rounds(path, job.sample),
    }
    key = digest(canonical({**parts, "input": given}))
    if isinstance(given, str):
        return Question(key=key, kin=_kin(parts, None), text=given)
    if isinstance(given, dict) and given.keys() <= {"prompt", "system"}:
        prompt = given.get("prompt")
        if isinstance(prompt, str):
            return Question(key=key, kin=_kin(parts, given.get("system")), text=prompt)
    return Question(key=key)


def _kin(parts: Mapping[str, Json], system: Json) -> str:
    return digest(canonical({**parts, "system": system}))


def _options(agent: AgentSpec, job: JobSpec) -> dict[str, Json]:
    """Give what the agent is told to be; the step's own settings win."""
    told = {**agent.options, **job.options}
    return {name: told[name] for name in told if name not in _SAME_ANSWER[agent.kind]}


def _rounds(path: str, sample: str | None) -> list[str]:
    """Give the rounds of the steps that a path leads through; those of a team are its own."""
    if sample == "":
        return []
    outer = path if sample is None else f"{path}/".partition(f"/{sample}/")[0]
    marks = [part.partition("~")[2] for part in outer.split("/")]
    return [mark for mark in marks if mark]
