"""Writes `reference/python.md`: every public name with its signature and docstring."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import msgspec

import hocket
from hocket.agents.command import CommandOptions
from hocket.agents.function import FunctionOptions
from hocket.agents.local import LocalOptions
from hocket.agents.model import ModelOptions
from hocket.agents.session_options import SessionOptions
from hocket.config import agent, told
from hocket.core import errors, specs, teams
from writers.docstrings import NOTE, fields, section, summary, table


def python_page() -> str:
    """Write every public name with its signature and docstring."""
    lines = [
        "# Python",
        "",
        NOTE,
        "",
        "All public names are in `hocket` itself: `from hocket import Plan, run_sync`.",
        "What is not listed here may change without notice.",
        "",
    ]
    for name in hocket.__all__:
        value = getattr(hocket, name)
        if name == "__version__":
            continue
        if isinstance(value, type) and issubclass(value, errors.HocketError):
            continue
        lines += _public(name, value)
    lines += [
        "## Errors",
        "",
        "They are in [a page of their own](errors.md): "
        + ", ".join(
            f"`{name}`"
            for name in hocket.__all__
            if isinstance(value := getattr(hocket, name), type)
            and issubclass(value, errors.HocketError)
        )
        + ".",
        "",
        "## What steps and agents can be told",
        "",
        "Keyword arguments of the methods of `Plan` and of `Agent`.",
        "",
    ]
    known = {**section(specs.StepSpec, "Fields"), **_TOLD}
    for kind, base, struct in _DICTIONARIES:
        meant = known if struct is None else {**known, **_meant(struct), **_TEAMS}
        inherited = {} if base is None else inspect.get_annotations(base)
        own = {n: h for n, h in inspect.get_annotations(kind).items() if n not in inherited}
        rows = [[f"`{name}`", f"`{_source(hint)}`", meant[name]] for name, hint in own.items()]
        besides = "" if base is None else f" Besides what `{base.__name__}` has."
        lines += [f"### {kind.__name__}", "", summary(kind) + besides, ""]
        lines += table(["Name", "Type", "Meaning"], rows)
    lines += ["### AgentSettings", "", summary(agent.AgentSettings), ""]
    said: dict[str, str] = {}
    kinds = (SessionOptions, FunctionOptions, LocalOptions, CommandOptions, ModelOptions)
    for struct in (*kinds, specs.AgentSpec):
        said.update(section(struct, "Fields"))
    said.update(_TOLD)
    hints = agent.AgentSettings.__annotations__
    rows = [[f"`{name}`", f"`{_source(hint)}`", said.get(name, "")] for name, hint in hints.items()]
    lines += table(["Name", "Type", "Meaning"], rows)
    return "\n".join(lines).rstrip() + "\n"


def _meant(struct: type) -> dict[str, str]:
    """Give what a struct's fields mean, but for those that `_TOLD` says in words of Python."""
    return {
        name: text.replace(", in nanoseconds", "")
        for name, text in section(struct, "Fields").items()
        if name not in _TOLD or name == "quorum"
    }


_DICTIONARIES: tuple[tuple[Any, Any, Any], ...] = (
    (told.Begins, None, None),
    (told.Waits, told.Begins, None),
    (told.Work, told.Waits, None),
    (told.Call, told.Work, None),
    (told.Asking, told.Begins, specs.StepSpec),
    (told.Agreeing, told.Asking, teams.ConsensusSpec),
    (told.Reviewing, told.Asking, teams.ReviewSpec),
)
"""What steps can be told, with what each has besides, and whose fields say what it means."""
_TEAMS = {
    "temperature": "As the provider understands it, for all that are asked.",
    "max_tokens": "The most tokens of an answer.",
    "settings": "More of pydantic-ai's model settings.",
    "decide": "What decides: most votes, more than half, all, or at least this share of the "
    "weight.",
    "weigh": "What a vote weighs: all alike, by the seat's weight, or by its confidence. By "
    "default by the seat's weight if one is given.",
    "quorum": "The fewest members who must have given an answer.",
    "fixer": "Who fixes what was found.",
}

_TOLD = {
    "within": "How long after the needs the wants are waited for.",
    "timeout": "The longest that one call, approval or input may take.",
    "retry": "When a failed call is tried again; a number counts tries after the first.",
    "kwargs": "Arguments of the function that are given by name.",
    "mode": "`auto` awaits an `async def` on the loop and runs others in a thread; `process` is "
    "for CPU work.",
    "concurrency": "The most calls at once over the run.",
    "limits": "Limits that each call claims.",
    "budget": "The most that all calls of the agent may spend: dollars of each run, a `Budget`, or "
    "one per run and one per day.",
    "uses": "Units of limits with a concurrency that each call holds while it runs.",
    "takes": "How long a call is expected to take; by default what earlier calls of the step took.",
    "hedge": "The quantile of earlier durations after which a call gets a second one beside it, "
    'as `"p95"`; only where a repetition does no harm.',
    "when": "An expression, or a handle; if it is false the step is skipped.",
    "function": "The function, or its `module:qualname`.",
    "tools": "What it may call: functions and `Tool`s; each turn and each call of a tool is a call "
    "of the run.",
    "cache": "How long its answers are given again: `off`, `exact`, `similar`, a duration like "
    '`"1h"`, or a `Cache`; only without effects.',
    "review": "How the output is reviewed before the step has succeeded: a `Review`.",
    "approve": "Whether a person approves of what it will do first: true, or a dict of `timeout`, "
    "`on_timeout` and `confirm_effects`.",
    "local": "The embedded demo model: `smollm2-135m`.",
    "session": "A coding agent that stays warm: `claude`, `codex` or `acp`; its settings are those "
    "of [the file](file.md#session).",
    "scripted": "`replies` and `by`, as in [the file](file.md#scripted).",
    "system": "What the model is told before the prompt.",
    "temperature": "As the provider understands it.",
    "max_tokens": "The most tokens of an answer.",
    "output": "The type of the output.",
    "model": "`provider:model`, as in `openai:gpt-5.2`; with a `base_url` a bare name will do.",
}


def _source(hint: Any) -> str:
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)


def _public(name: str, value: Any) -> list[str]:
    lines = [f"## {name}", ""]
    if not isinstance(value, type):
        return [*lines, *_callable(name, value)]
    if issubclass(value, msgspec.Struct):
        return [*lines, summary(value), "", *fields(value), *_methods(value)]
    own = _attributes(value)
    shown = (
        ""
        if getattr(value, "_is_protocol", False) or name in _NOT_MADE
        else _signature(name, value)
    )
    if shown:
        lines += ["```text", shown, "```", ""]
    lines += [summary(value), ""]
    lines += _list(section(value, "Args"))
    lines += table(["Attribute", "Meaning"], [[f"`{k}`", v] for k, v in own.items()])
    return [*lines, *_methods(value)]


_NOT_MADE = ("Consensus", "Ref", "Result", "Run", "Step", "Tally", "Token")
"""Classes that a program is handed and does not make."""


def _attributes(kind: type) -> dict[str, str]:
    found = {**section(kind, "Attributes"), **section(kind, "Fields")}
    for name, value in vars(kind).items():
        if isinstance(value, property) and not name.startswith("_") and value.__doc__:
            found.setdefault(name, summary(value))
    return found


def _methods(kind: type) -> list[str]:
    lines: list[str] = []
    for base in kind.__mro__:
        if not base.__module__.startswith("hocket."):
            continue
        for name, value in vars(base).items():
            shown = inspect.isfunction(value) and not name.startswith("_")
            if shown and getattr(kind, name) is value and value.__doc__:
                lines += [f"### {kind.__name__}.{name}", "", *_callable(name, value)]
    return lines


def _callable(name: str, function: Any) -> list[str]:
    lines = ["```text", _signature(name, function), "```", "", summary(function), ""]
    lines += _list(section(function, "Args"))
    raises = section(function, "Raises")
    if raises:
        lines += ["Raises:", "", *_list({f"{key}": text for key, text in raises.items()})]
    return lines


def _signature(name: str, of: Any) -> str:
    signature = inspect.signature(of)
    given: list[str] = []
    star = False
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    for i, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            given.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        given.append(_parameter(parameter))
        after = parameters[i + 1 :]
        if parameter.kind is parameter.POSITIONAL_ONLY and not any(
            one.kind is one.POSITIONAL_ONLY for one in after
        ):
            given.append("/")
    gives = signature.return_annotation
    said = "" if isinstance(of, type) or gives in (None, "None") else f" -> {_source(gives)}"
    word = "async " if inspect.iscoroutinefunction(of) else ""
    return f"{word}{name}({', '.join(given)}){said}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}: {_source(parameter.annotation)}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def _list(entries: dict[str, str]) -> list[str]:
    return [*(f"- `{name}`: {text}" for name, text in entries.items()), ""] if entries else []
