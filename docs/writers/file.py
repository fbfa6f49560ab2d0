"""Writes `reference/file.md`: every key of `hocket.yaml`."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
from pydantic import BaseModel, BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo

from hocket.agents.scripted import ScriptedError, ScriptedOptions, ScriptedReply
from hocket.config import (
    mcp_parts,
    models,
    panel_parts,
    population_parts,
    step_parts,
    team_parts,
    tool_parts,
)
from hocket.config.limit_parts import BudgetPart, BudgetsOf, LimitPart, LimitsOf
from hocket.config.price import PricePart
from hocket.config.simulate_parts import ActorPart, Lasts, LatencyPart, PeoplePart, SimulatePart
from hocket.config.translate import MAX_STEPS
from hocket.config.yaml import MAX_BYTES
from hocket.core.values import format_duration
from hocket.workflows.check import MAX_DEPTH
from writers.docstrings import NOTE, fields, section, summary, table
from writers.keys import BESIDES, DEFAULTS, MEANINGS, OUTPUT, PARTS, STRUCTS, TITLES


def file_page() -> str:
    """Write every key of `hocket.yaml`."""
    lines = [
        "# hocket.yaml",
        "",
        NOTE,
        "",
        "A file of plans, and of the agents and models that do their work.",
        "`hocket check` finds every mistake in it, and `hocket schema` prints its JSON Schema for",
        "editors.",
        "There are no other keys: an unknown one is a mistake.",
        "",
    ]
    for title, where, parts in PARTS:
        lines += [f"## {title}", ""]
        if where:
            lines += [f"Under `{where}`{BESIDES.get(title, '')}.", ""]
        if title == "An agent":
            lines += ["One of five kinds, told by which of these keys it has.", ""]
        if title == "A step":
            lines += [f"One of {', '.join(f'`{k}:`' for k in models.STEP_KINDS)}.", ""]
        for part in parts:
            lines += _part(part)
            if part is models.ScriptedAgent:
                lines += _scripted()
    return "\n".join(lines) + _bounds()


def _bounds() -> str:
    bounds = {
        "{megabytes}": f"{MAX_BYTES / 1e6:.0f}",
        "{steps}": f"{MAX_STEPS:,}",
        "{depth}": str(MAX_DEPTH),
    }
    text = OUTPUT
    for name, value in bounds.items():
        text = text.replace(name, value)
    return text


def _part(part: type[BaseModel]) -> list[str]:
    lines = [f"### {TITLES[part]}", "", summary(part), ""]
    bases = [base for base in part.__mro__[1:] if base in TITLES]
    inherited = {name for base in bases for name in base.model_fields}
    hints = typing.get_type_hints(part, include_extras=True)
    rows = []
    for name, field in part.model_fields.items():
        if name in inherited:
            continue
        key = field.alias or name
        required = field.is_required()
        default = "required" if required else _default(part, key, field)
        rows.append([f"`{key}`", _file_kind(hints[name]), default, _meaning(part, key, field)])
    if bases:
        also = ", ".join(f"“{TITLES[base]}”" for base in bases)
        lines += [f"Besides the keys of {also}:", ""]
    if part is step_parts.AgentStep:
        lines += ["What is not set here is as the agent has it.", ""]
    return lines + table(["Key", "Type", "Default", "Meaning"], rows)


def _scripted() -> list[str]:
    lines: list[str] = []
    for kind in (ScriptedOptions, ScriptedReply, ScriptedError):
        lines += [f"#### {kind.__name__}", "", summary(kind), "", *fields(kind)]
    return lines


def _meaning(part: type[BaseModel], key: str, field: FieldInfo) -> str:
    own = MEANINGS.get(f"{part.__name__}.{key}") or MEANINGS.get(key)
    if own:
        return own
    for struct in STRUCTS.get(part, ()):
        said = section(struct, "Fields").get(key)
        if said:
            return said.replace(" in nanoseconds", "")
    if field.description:
        return field.description
    raise LookupError(f"nothing says what {part.__name__}.{key} means")


def _default(part: type[BaseModel], key: str, field: FieldInfo) -> str:
    own = DEFAULTS.get(f"{part.__name__}.{key}")
    if own is None and part is not models.DefaultsPart:
        own = DEFAULTS.get(key)
    if own:
        return own
    value = field.get_default(call_default_factory=True)
    if value is None and part is not models.DefaultsPart:
        for struct in STRUCTS.get(part, ()):
            for known in msgspec.structs.fields(struct):
                if known.name == key and known.default is not msgspec.NODEFAULT:
                    value = known.default
                    if key in ("first", "longest"):
                        value = format_duration(value)
                    break
            if value is not None:
                break
    if value is None or value in ("", [], {}, ()) or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


def _file_kind(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    for alias, said in _ALIASES:
        if kind == alias:
            return said
    if origin is typing.Annotated:
        for note in inner[1:]:
            if isinstance(note, BeforeValidator | PlainValidator):
                if getattr(note.func, "__name__", "") == "_listed":
                    one = _file_kind(typing.get_args(inner[0])[0])
                    return f"{one} or list of these"
                name = _SHORTHANDS.get(getattr(note.func, "__name__", ""))
                if name:
                    return name
        return _file_kind(inner[0])
    if origin in (typing.Union, types.UnionType):
        named = [_file_kind(one) for one in inner if one is not type(None)]
        return " or ".join(dict.fromkeys(named))
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is list:
        return f"list of {_file_kind(inner[0])}s"
    if origin is dict:
        value = _file_kind(inner[1])
        return "object" if value == "JSON" else f"{value} by name"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _KINDS.get(kind, kind.__name__.removesuffix("Part").lower())
    return {str: "text", int: "integer", float: "number", bool: "true or false", Any: "JSON"}[kind]


_ALIASES = (
    (LimitsOf, "[limits](#a-limit)"),
    (BudgetsOf, "[budget](#budget)"),
    (team_parts.Seats, "names, or [seats](#a-seat)"),
    (team_parts.Asked, "template"),
    (panel_parts.Contributor, "text or [step](#a-step)"),
    (panel_parts.Writer, "text or [step](#a-step)"),
    (panel_parts.Selects, "expression or [step](#a-step)"),
    (population_parts.HowMany, "integer or template"),
    (population_parts.Seed, "integer or template"),
    (population_parts.Preferences, "numbers, list of numbers, or template"),
    (Lasts, "[duration](#durations), [latency](#keys-of-a-latency) or list of durations"),
)
_SHORTHANDS = {
    "_duration": "[duration](#durations)",
    "_one_or_more": "text or list of texts",
    "_retry": "integer or [retry](#retry)",
    "read_output": "[output](#output)",
    "_inputs": "list of texts, or input by name",
    "read_rate": "[rate](#rates)",
    "read_spending": "[dollars](#rates)",
    "read_count": "[amount](#rates)",
    "read_money": "[dollars](#rates)",
    "read_quantile": "`p50` to `p99`",
    "read_decision": "`plurality`, `majority`, `unanimous` or number",
    "read_arguments": "[arguments](#arguments)",
    "read_revise": "true, false or [duration](#durations)",
}
_KINDS: dict[type[BaseModel], str] = {
    PricePart: "[price](#price)",
    LimitPart: "[limit](#a-limit)",
    BudgetPart: "[budget](#budget)",
    step_parts.RepeatPart: "[repeat](#repeat)",
    step_parts.ApprovalPart: "true, false or [approval](#keys-of-an-approval)",
    models.DefaultsPart: "[defaults](#defaults)",
    team_parts.ConsensusPart: "[consensus](#keys-of-consensus)",
    team_parts.ReviewPart: "[review](#keys-of-review)",
    team_parts.ReviewOfPart: "[review](#keys-of-review)",
    population_parts.PopulationPart: "[population](#keys-of-population)",
    population_parts.GroupPart: "[group](#keys-of-a-group)",
    panel_parts.PanelPart: "[panel](#keys-of-panel)",
    panel_parts.LearnedPart: "[learned](#keys-of-a-learned-limit)",
    tool_parts.CachePart: "[cache](#cache)",
    tool_parts.EmbedPart: "[embed](#embed)",
    SimulatePart: "[simulate](#keys-of-simulate)",
    ActorPart: "[behaviour](#simulateagentsname)",
    LatencyPart: "[latency](#keys-of-a-latency)",
    PeoplePart: "[people](#simulatepeople)",
    **dict.fromkeys(
        (tool_parts.CommandTool, tool_parts.FunctionTool, tool_parts.McpTool), "[tool](#a-tool)"
    ),
    **dict.fromkeys((mcp_parts.McpProgram, mcp_parts.McpAddress), "[server](#an-mcp-server)"),
    **dict.fromkeys(
        (
            step_parts.AgentStep,
            step_parts.CommandStep,
            step_parts.ShellStep,
            step_parts.FunctionStep,
            step_parts.ApproveStep,
            step_parts.InputStep,
            step_parts.NestedStep,
            population_parts.PopulationStep,
            panel_parts.ConsensusStep,
            panel_parts.ReviewStep,
            panel_parts.PanelStep,
        ),
        "step",
    ),
    **dict.fromkeys(
        (
            models.ModelAgent,
            models.CommandAgent,
            models.FunctionAgent,
            models.LocalAgent,
            models.ScriptedAgent,
            models.SessionAgent,
        ),
        "agent",
    ),
}
