"""Gives adapters their options, and refuses a step's settings that its agent cannot use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hocket.config.basics import Strict
from hocket.config.environment import environment_problems
from hocket.config.models import ModelAgent, ModelPart
from hocket.config.shorthand import Wanted, beside_diff, beside_files
from hocket.config.step_parts import AgentStep, CommandSettings, RetryPart, ShellStep
from hocket.core.errors import ExprError, Problem
from hocket.core.specs import AgentKind, AgentSpec, Retry
from hocket.core.template import parse_template
from hocket.core.values import SECOND, Json

_PROCESS: Final = (
    *("cwd", "env", "env_pass", "files", "ok"),
    *("keep", "quota", "grace", "allow_dashes"),
)
_ASKING: Final = ("system", "temperature", "max_tokens")
_MODEL: Final = (*_ASKING, "stream", "structured")
_SESSION: Final = (
    *("session", "command", "model", "args", "system", "permissions", "one_shot"),
    *("pool", "turns", "max_jobs", "max_memory", "max_age", "idle", "silence", "grace"),
    *("cwd", "worktree", "branch", "env", "env_pass"),
)

SETTINGS: Final[dict[AgentKind, tuple[str, ...]]] = {
    "model": (*_MODEL, "settings"),
    "command": _PROCESS,
    "function": (),
    "local": (*_ASKING, "seed", "threads"),
    "scripted": (),
    "session": _SESSION,
}
"""The settings of each kind of agent."""

OF_A_STEP: Final[dict[AgentKind, tuple[str, ...]]] = {
    **SETTINGS,
    "local": (*_ASKING, "seed"),
    "session": ("system",),
}
"""Those of them that a step may set otherwise."""

_SECONDS: Final = ("grace", "max_age", "idle", "silence")
_ALL: Final = (*_PROCESS, *_MODEL, "seed", "settings")
_RETRIES: Final = 2
"""Retries where a step says nothing: for models, which fail by themselves now and then."""


def given(about: Strict, names: Iterable[str]) -> dict[str, Json]:
    """Give the settings that were set."""
    found: dict[str, Json] = {}
    for name in names:
        value = getattr(about, name, None)
        if value is not None and value != {}:
            # Adapters count in seconds.
            found[name] = value / SECOND if name in _SECONDS else value
    return found


def command_options(about: CommandSettings, command: list[str] | str) -> dict[str, Json]:
    """Give the options of a command agent."""
    return {"command": command, **given(about, _PROCESS)}


def wanted(
    about: Wanted | None,
    kind: AgentKind | None,
    files: object,
    options: dict[str, Json],
    *,
    worktree: bool = False,
) -> Json:
    """Give the schema of a step's output, and set how its agent reads what it gets."""
    if kind == "command":
        if about is not None or files:
            # Beside files there is always a schema, which alone would ask the program for JSON.
            options["output"] = "text" if about is None else about.mode
        if not files:
            return None if about is None or about.schema == {} else about.schema
        return beside_files(None if about is None else about.schema)
    if about is None or (about.named and about.mode == "text" and kind != "function"):
        # Whoever answers in words gives text anyway, and a schema would ask it for JSON.
        return None
    return beside_diff(about.schema) if worktree else about.schema


def model_options(about: ModelAgent, entry: ModelPart | None) -> dict[str, Json]:
    """Give the options of a model agent; the agent's own settings win over the model's."""
    if entry is None:
        return {"model": about.model, **given(about, SETTINGS["model"])}
    options: dict[str, Json] = {"model": entry.id, **given(entry, ("base_url", "key_env"))}
    if entry.price is not None:
        price = entry.price
        options["price"] = {"in": price.in_, "out": price.out, **given(price, ("cached",))}
    options.update(given(about, _MODEL))
    if settings := entry.settings | about.settings:
        options["settings"] = settings
    return options


def step_options(about: AgentStep, kind: AgentKind) -> tuple[dict[str, Json], list[Problem]]:
    """Give a step's own settings for its agent, and what is wrong with them."""
    options = given(about, OF_A_STEP[kind])
    problems = [
        Problem(where=(name,), message=f"a {kind} agent has no setting {name!r}")
        for name in _ALL
        if name not in OF_A_STEP[kind] and getattr(about, name, None) is not None
    ]
    return options, problems


def retry_of(about: RetryPart | None, *agents: AgentSpec | None) -> Retry:
    """Give the retries of a step, as it says, or else as its agents need them."""
    if about is None:
        kinds = [agent.kind for agent in agents if agent is not None]
        return Retry(tries=1 + _RETRIES) if {"model", "local"} & {*kinds} else Retry()
    changes: dict[str, Json] = {
        key: value
        for key in ("first", "factor", "longest", "jitter")
        if (value := getattr(about, key)) is not None
    }
    if about.on is not None:
        changes["on"] = tuple(about.on)
    if about.first is not None and about.longest is None:
        changes["longest"] = max(about.first, Retry().longest)
    return Retry(tries=about.tries, **changes)


def static_problems(about: CommandSettings) -> list[Problem]:
    """Refuse templates where nobody fills them in, or where a shell would run what they give."""
    found: list[Problem] = []
    if isinstance(about, ShellStep) and _has_template(about.shell):
        message = "a template in a shell text would let its value run commands"
        hint = 'give it by args: ["{{…}}"] and write "$1"'
        found.append(Problem(where=("shell",), message=message, hint=hint))
    found += environment_problems((), about.env or {}, about.env_pass or ())
    places: list[tuple[tuple[str, ...], str]] = [(("cwd",), about.cwd or "")]
    places += [(("env", name), value) for name, value in (about.env or {}).items()]
    for where, text in places:
        if _has_template(text):
            message = "settings have no templates: give values by arguments or stdin"
            found.append(Problem(where=where, message=message))
    return found


def _has_template(text: str) -> bool:
    """Tell a template of ours from braces of others, as in ``--format '{{.Names}}'``."""
    try:
        return "{{" in text and bool(parse_template(text).references)
    except ExprError:
        return False
