"""Turns a MassGen configuration into a file of ours, as data, and lists what has no counterpart.

MassGen's files name agents with their backends, and options of the orchestrator that lets them
answer and vote; see https://github.com/massgen/MassGen.
Nothing is read or written here: parsed YAML goes in, the data of a `hocket.yaml` comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hocket.config.massgen_words import (
    ANSWERS_AGAIN,
    APIS,
    AS_THEY_ARE,
    DROPPED,
    LIMITS,
    NO_AGENT,
    NOTHING_LIKE_IT,
    OTHER_LIMITS,
    PRESENTER,
    Api,
    reason,
)
from hocket.core.errors import Refused
from hocket.core.values import Json

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
_OVERALL: Final = 1800
"""Seconds that MassGen gives a whole run where its file says nothing."""
_GRACE: Final = 120
"""Seconds from its soft to its hard time limit of a round, likewise."""


class Note(NamedTuple):
    """What was not taken over, or not as it stood.

    Fields:
        where: Keys of the MassGen file.
        why: Why, and what to do.
    """

    where: str
    why: str


class Imported(NamedTuple):
    """A file of ours, made of a MassGen file.

    Fields:
        tree: The data of the file.
        notes: What has no counterpart in it.
    """

    tree: dict[str, Json]
    notes: list[Note]


def translate(data: Json) -> Imported:
    """Turn a MassGen configuration into a file of ours.

    Raises:
        Refused: It is no MassGen configuration, or none of its agents has a counterpart.
    """
    stated = data.get("agents", data.get("agent")) if isinstance(data, dict) else None
    given = [stated] if isinstance(stated, dict) else stated
    if not isinstance(given, list) or not all(isinstance(agent, dict) for agent in given):
        raise Refused("this is no MassGen configuration: it has neither agents nor an agent")
    if not given:
        raise Refused("this MassGen configuration names no agents: its list of them is empty")
    notes = _Notes()
    agents, models, names = _agents(given, notes)
    if not agents:
        told = "; ".join(f"{note.where}: {note.why}" for note in notes.all())
        raise Refused(f"none of its agents has a counterpart: {told}")
    orchestrator = _object(data, "orchestrator")
    steps: dict[str, Json]
    if len(agents) == 1:
        steps = {"answer": {"agent": next(iter(agents)), "prompt": "{{inputs.question}}"}}
        output = "{{answer}}"
        if orchestrator:
            notes.add("orchestrator", "one agent alone has nobody to coordinate with")
    else:
        team = _consensus(orchestrator, _times(data), names, notes)
        steps = {"answer": {"consensus": team}}
        output = "{{answer.answer}}"
    question: dict[str, Json] = {"about": "What to ask."}
    if isinstance(data.get("task"), str):
        question["default"] = data["task"]
    for key in data:
        if key not in ("agents", "agent", "orchestrator", "timeout_settings", "timeout", "task"):
            notes.add(key, reason(key))
    tree: dict[str, Json] = {"version": 1}
    if models:
        tree["models"] = models
    tree["agents"] = agents
    plan = {"inputs": {"question": question}, "steps": steps, "output": output}
    tree["plans"] = {"ask": plan}
    return Imported(tree, notes.all())


class _Notes:
    """Collects notes; what is said alike of several agents is said once."""

    def __init__(self) -> None:
        self._found: dict[Note, list[str]] = {}

    def add(self, where: str, why: str, agent: str = "") -> None:
        """Note something, of an agent or of the whole."""
        agents = self._found.setdefault(Note(where, why), [])
        if agent:
            agents.append(agent)

    def all(self) -> list[Note]:
        """Give the notes, with the agents that they are about."""
        return [
            note._replace(where=f"{note.where} ({', '.join(agents)})") if agents else note
            for note, agents in self._found.items()
        ]


# ---- agents ----


def _agents(
    given: list[Any], notes: _Notes
) -> tuple[dict[str, Json], dict[str, Json], dict[str, str]]:
    """Give agents, models, and each agent's name here by what the file calls it."""
    agents: dict[str, Json] = {}
    models: dict[str, Json] = {}
    names: dict[str, str] = {}
    for number, about in enumerate(given, 1):
        stated = str(about.get("id") or f"agent{number}")
        name = _name(stated, agents)
        backend = _object(about, "backend")
        entry = _model(backend, stated, notes)
        if entry is None:
            continue
        agent: dict[str, Json] = {"model": _entry(entry, models)}
        if name != stated:
            notes.add("id", f"is called {name} here", stated)
        for key, value in about.items():
            if key == "system_message" and isinstance(value, str):
                agent["system"] = value
            elif key not in ("id", "backend"):
                notes.add(key, reason(key), stated)
        agent |= _settings(backend, entry, stated, notes)
        agents[name] = agent
        names[name if stated in names else stated] = name
    return agents, models, names


def _model(backend: Mapping[str, Json], agent: str, notes: _Notes) -> dict[str, Json] | None:
    """Give the entry under ``models`` that a backend comes to; None if it has no counterpart."""
    kind = str(backend.get("type", ""))
    if kind in NO_AGENT:
        notes.add("agent", NO_AGENT[kind], agent)
        return None
    api = APIS.get(kind)
    name = backend.get("model")
    if api is None or not isinstance(name, str) or not name:
        why = f"the backend {kind!r} is not known here" if api is None else "it names no model"
        notes.add("agent", f"left out: {why}", agent)
        return None
    entry: dict[str, Json] = {"id": f"{api.provider}:{name}"}
    url = backend.get("base_url") or api.base_url
    if isinstance(url, str) and _VARIABLE.search(url):
        notes.add(
            "agent", f"left out: its address stands in a variable ({url}); write it out", agent
        )
        return None
    if url is None and api.needs_url:
        notes.add("agent", "left out: its backend states no base_url", agent)
        return None
    if url is not None:
        entry["base_url"] = f"{url.rstrip('/')}{api.suffix}" if api.suffix not in url else url
    key = _key(backend, api, str(url or ""), agent, notes)
    if key:
        entry["key_env"] = key
    if limits := _limits(kind, name):
        entry["limits"] = limits
    return entry


def _key(backend: Mapping[str, Json], api: Api, url: str, agent: str, notes: _Notes) -> str:
    """Name the variable that holds an agent's key; "" for the provider's usual one or none."""
    stated = backend.get("api_key")
    if isinstance(stated, str) and (named := _VARIABLE.fullmatch(stated)):
        return named[1]
    usual = next((k for part, k in AS_THEY_ARE.items() if part in url), api.key_env)
    if stated is not None:
        where = usual or "the provider's variable"
        notes.add("backend.api_key", f"a key is never copied: put it into {where}", agent)
    return usual


def _limits(kind: str, model: str) -> dict[str, Json]:
    if kind != "gemini":
        return {}
    requests, tokens, daily = LIMITS.get(model, OTHER_LIMITS)
    return {"requests": [f"{requests}/min", f"{daily}/day"], "tokens": f"{tokens}/min"}


def _entry(entry: dict[str, Json], models: dict[str, Json]) -> str:
    """Give what an agent's ``model`` says: an entry if there is more to it than its id."""
    if set(entry) == {"id"}:
        return str(entry["id"])
    for name, known in models.items():
        if known == entry:
            return name
    name = _name(str(entry["id"]).partition(":")[2].rpartition("/")[2], models)
    models[name] = entry
    return name


def _settings(
    backend: Mapping[str, Json], entry: Mapping[str, Json], agent: str, notes: _Notes
) -> dict[str, Json]:
    found: dict[str, Json] = {}
    settings: dict[str, Json] = {}
    openai = str(entry["id"]).startswith("openai")
    for key, value in backend.items():
        if key in ("type", "model", "base_url", "api_key") or value in (None, False):
            continue
        if key in ("temperature", "max_tokens"):
            found[key] = value
        elif key in ("top_p", "seed", "parallel_tool_calls", "extra_body"):
            settings[key] = value
        elif key == "reasoning" and openai and isinstance(value, dict) and "effort" in value:
            settings["openai_reasoning_effort"] = value["effort"]
        elif key == "text" and openai and isinstance(value, dict) and "verbosity" in value:
            settings["openai_text_verbosity"] = value["verbosity"]
        else:
            notes.add(f"backend.{key}", reason(key), agent)
    return found | ({"settings": settings} if settings else {})


# ---- the orchestrator ----


def _consensus(
    orchestrator: dict[str, Json], times: dict[str, Json], names: dict[str, str], notes: _Notes
) -> dict[str, Json]:
    about: dict[str, Json] = {
        "question": "{{inputs.question}}",
        "agents": list(names.values()),
        "decide": "plurality",
        "tie": "order",
    }
    about |= _policy(orchestrator, notes)
    about |= _limits_of_time(times, notes)
    about |= _final(orchestrator, names, notes)
    for key, value in orchestrator.items():
        if key == "coordination" and isinstance(value, dict):
            for inner in value:
                notes.add(f"orchestrator.coordination.{inner}", reason(inner, DROPPED))
        elif key not in _READ:
            notes.add(f"orchestrator.{key}", reason(key))
    return about


_TIMES: Final = frozenset(
    {
        "orchestrator_timeout_seconds",
        "initial_round_timeout_seconds",
        "subsequent_round_timeout_seconds",
        "round_timeout_grace_seconds",
    }
)
_READ: Final = frozenset(
    {
        "max_new_answers_per_agent",
        "fairness_enabled",
        "fairness_lead_cap_answers",
        "defer_voting_until_all_answered",
        "disable_injection",
        "final_answer_strategy",
        "skip_final_presentation",
        "presenter_agent",
        "timeout",
    }
)


def _policy(orchestrator: Mapping[str, Json], notes: _Notes) -> dict[str, Json]:
    """Say what a new answer does to the others."""
    most = orchestrator.get("max_new_answers_per_agent")
    if not isinstance(most, int):
        # It is the default there and costs up to twice the calls here.
        notes.add("orchestrator.max_new_answers_per_agent", ANSWERS_AGAIN)
        return {"policy": "once"}
    if most <= 1:
        return {"policy": "once"}
    found: dict[str, Json] = {"policy": "rounds", "rounds": most - 1}
    lead = orchestrator.get("fairness_lead_cap_answers", 2)
    if orchestrator.get("fairness_enabled", True) and isinstance(lead, int):
        found["lead"] = max(lead, 1)
    return found


def _times(data: Mapping[str, Json]) -> dict[str, Json]:
    inner = _object(_object(data, "orchestrator"), "timeout")
    return {**inner, **_object(data, "timeout"), **_object(data, "timeout_settings")}


def _limits_of_time(times: Mapping[str, Json], notes: _Notes) -> dict[str, Json]:
    found: dict[str, Json] = {
        "max_duration": _seconds(times.get("orchestrator_timeout_seconds", _OVERALL))
    }
    first = times.get("initial_round_timeout_seconds")
    later = times.get("subsequent_round_timeout_seconds")
    grace = times.get("round_timeout_grace_seconds", _GRACE)
    soft = first if first is not None else later
    if isinstance(soft, int | float) and isinstance(grace, int | float):
        found |= {"soft": _seconds(soft), "hard": _seconds(soft + grace)}
        if later not in (None, soft):
            notes.add(
                "timeout_settings.subsequent_round_timeout_seconds",
                f"every round has the same time here: that of the first, {_seconds(soft)}",
            )
    for key in times:
        if key not in _TIMES:
            notes.add(f"timeout_settings.{key}", NOTHING_LIKE_IT)
    return found


def _final(
    orchestrator: Mapping[str, Json], names: Mapping[str, str], notes: _Notes
) -> dict[str, Json]:
    """Say what is given in the end; the winner presents unless it is told otherwise."""
    ways = {"winner_reuse": "reuse", "winner_present": "present", "synthesize": "synthesize"}
    usual = "winner_reuse" if orchestrator.get("skip_final_presentation") else "winner_present"
    final = ways.get(str(orchestrator.get("final_answer_strategy") or usual), "present")
    found: dict[str, Json] = {"final": final}
    presenter = orchestrator.get("presenter_agent")
    if presenter is not None and final == "synthesize" and str(presenter) in names:
        found["presenter"] = names[str(presenter)]
    elif presenter is not None:
        notes.add("orchestrator.presenter_agent", PRESENTER)
    return found


# ---- small things ----


def _object(about: Mapping[str, Json], key: str) -> dict[str, Json]:
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def _seconds(value: Json) -> Json:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        value = _OVERALL
    minutes, rest = divmod(value, 60)
    return f"{int(minutes)}m" if minutes and not rest else f"{value:g}s"


def _name(stated: str, taken: Mapping[str, Json]) -> str:
    """Make a name that is allowed and not taken."""
    name = _NOT_A_NAME.sub("-", stated).strip("-_") or "agent"
    name = name if name[0].isalpha() else f"a-{name}"
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
