"""Planning runs: an agent gathers what there is, drafts a plan, and mends what is wrong with it.

A planning run is a run like any other: it is journalled, limited, watched and resumed.
What comes of it is a draft (`hocket.app.drafts`), which is checked and predicted, which people may
edit, and which runs only when somebody starts it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import msgspec

from hocket.app.drafts import binding, crew, harms, mistakes, spec_of, staff, ungated
from hocket.app.engine import Engine
from hocket.app.gathering import MOST_READ, inventory
from hocket.app.host import Host
from hocket.app.load import load_file
from hocket.app.planning_run import PLANNING, is_planning
from hocket.app.predict import predicted
from hocket.app.spot import load_spot
from hocket.app.written import draft_text
from hocket.config.drafts import SCHEMA, Bar, Drafted, plan_name, read_draft, reasons
from hocket.config.file import Loaded
from hocket.config.models import (
    CommandAgent,
    LocalAgent,
    ModelAgent,
    ScriptedAgent,
    SessionAgent,
)
from hocket.config.overrides import Overrides
from hocket.core.errors import NotFound, Refused, suggest
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.journal.base import Store

UNKNOWN: Final = "as long as it has mistakes, nobody can tell what its steps may change"
"""Why a draft with mistakes needs approval."""

_AS_IT_IS: Final = Overrides()
_CONTEXT: Final = """\
Somebody else is going to plan the task below. Gather what they must know; plan nothing yourself.

The task:
{{inputs.task}}

The folder that it is about holds these files, each with its size in bytes:
{{inputs.files}}

Say in `about` what there is and how it bears on the task, in `files` which files the planner has to
see, at most {{inputs.most}} names from that list, in `facts` what is certain, and in `unknown` what
is not.
"""
_DRAFT: Final = """\
Draft a plan for this task.

The task:
{{inputs.task}}

What is known: {{context.about}}
Facts: {{context.facts}}
Not known: {{context.unknown}}

Files:
{{read}}

Each step is done by one of these agents, which see their prompt and nothing else:
{{inputs.staff}}

Steps begin as soon as those in their `needs` have succeeded, so name only what a step really needs.
Its prompt gets what an earlier step has given by that step's name in double braces.
Names of steps are letters, digits, - and _. Set `approve` where a person should look before a step
begins. Say in `confidence` honestly, from 0 to 1, how clear the task is, whether the context
suffices, whether the approach leads there, and whether these agents can do it; and in `risks` what
may go wrong, how severe that is, and what the plan does about it.
"""
_MEND: Final = """\
This draft of a plan has mistakes.

The task:
{{inputs.task}}

The agents:
{{inputs.staff}}

The draft:
{{draft}}

The mistakes:
{{check.problems}}

Give the whole plan again, without them.
"""
_CONTEXT_SCHEMA: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {
        "about": {"type": "string", "maxLength": 8_000},
        "files": {"type": "array", "items": {"type": "string"}, "maxItems": MOST_READ},
        "facts": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
        "unknown": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
    },
    "required": ["about", "files", "facts", "unknown"],
    "additionalProperties": False,
}


def planner_of(loaded: Loaded, agent: str | None) -> str:
    """Give the agent that plans: the one that is named, or the file's first that can speak.

    Raises:
        NotFound: There is none.
        Refused: It runs a program.
    """
    agents = loaded.file.agents
    if agent is not None:
        if agent in agents:
            if isinstance(agents[agent], CommandAgent):
                said = f"{loaded.source}: agent {agent!r} runs a program, which cannot plan"
                raise Refused(f"{said}; name an agent that asks a model, or a session")
            return agent
        hint = suggest(agent, agents) or f"there are {', '.join(agents) or 'none'}"
        raise NotFound(f"{loaded.source}: there is no agent {agent!r}; {hint}")
    for name, part in agents.items():
        if isinstance(part, ModelAgent | SessionAgent | LocalAgent | ScriptedAgent):
            return name
    raise NotFound(f"{loaded.source} has no agent that could plan; state one under agents")


def planning_spec(loaded: Loaded, agent: str, overrides: Overrides = _AS_IT_IS) -> RunSpec:
    """Give the spec of a planning run.

    Args:
        loaded: The operator's file.
        agent: Who plans.
        overrides: What is to be otherwise than in the file.

    Raises:
        SpecError: The file's limits or budgets make no sense.
        NotFound: There is no limit that is to be another.
    """
    steps: dict[str, Json] = {
        "context": {"agent": agent, "prompt": _CONTEXT, "output": _CONTEXT_SCHEMA, "retry": 2},
        "read": {
            "call": "hocket.app.gathering:read_files",
            "with": {"folder": "{{inputs.folder}}", "names": "{{context.files}}"},
        },
        "draft": {"agent": agent, "prompt": _DRAFT, "output": SCHEMA, "retry": 2},
        "check": {
            "call": "hocket.app.planner:check_draft",
            "with": {"draft": "{{draft}}", "file": "{{inputs.source}}"},
        },
        "mend": {
            "agent": agent,
            "prompt": _MEND,
            "output": SCHEMA,
            "retry": 2,
            "when": "check.problems != []",
        },
    }
    names = ("task", "files", "most", "staff", "folder", "source")
    plan = {"inputs": {name: {} for name in names}, "steps": steps}
    tree: dict[str, Json] = {"version": 1, "agents": {}, "plans": {PLANNING: plan}}
    return load_spot(tree, PLANNING, loaded, overrides)


def planning_inputs(loaded: Loaded, task: str, folder: Path) -> dict[str, Json]:
    """Give the inputs of a planning run.

    Args:
        loaded: The operator's file.
        task: What is to be planned.
        folder: The folder that it is about.

    Raises:
        Refused: There is no task, or no such folder.
    """
    if not task.strip():
        raise Refused("there is no task to plan: say in a sentence what is to be done")
    if not folder.is_dir():
        raise Refused(f"{folder} is no folder")
    return {
        "task": task,
        "files": inventory(folder),
        "most": MOST_READ,
        "staff": "\n".join(f"- {name}: {about}" for name, about in staff(loaded).items()),
        "folder": str(folder.resolve()),
        "source": str(Path(loaded.source).resolve()),
    }


def check_draft(draft: Json, file: str) -> dict[str, Json]:
    """Say what is wrong with a draft; a step of every planning run.

    Raises:
        Refused: It is no draft.
        SpecError: The operator's file has mistakes by now.
    """
    read = read_draft(draft)
    text = draft_text(read, Path(file).name, approve=False)
    return {"problems": [*mistakes(text, load_file(file))]}


def drafted(engine: Engine, run: str, bar: Bar | None = None) -> Drafted:
    """Give what a planning run has come to.

    Args:
        engine: Whose state folder it is in.
        run: The planning run.
        bar: When a draft needs a person's approval.

    Raises:
        NotFound: There is no such run.
        Refused: It is no planning run.
        SpecError: The operator's file has mistakes by now.
    """
    machine = engine.fold(run)
    if not is_planning(machine):
        raise Refused(f"run {run} is no planning run; make one with: hocket plan TASK")
    reason = machine.end.reason if machine.end is not None else machine.pause_reason
    found = Drafted(run=run, status=machine.said, reason=reason)
    if machine.said != "succeeded":
        return found
    mended = machine.workflow.result("mend")
    draft = read_draft(mended if mended is not None else machine.workflow.result("draft"))
    source = str(machine.inputs["source"])
    found = msgspec.structs.replace(found, draft=draft, file=source, bar=bar or Bar())
    text = draft_text(draft, Path(source).name, approve=bool(reasons(draft, found.bar)))
    whole = with_text(engine.journal, found, text)
    if not whole.why or reasons(draft, found.bar):
        return whole
    # What it needs approval for shows only in what becomes of its text.
    text = draft_text(draft, Path(source).name, approve=True)
    return with_text(engine.journal, found, text)


def with_text(store: Store, found: Drafted, text: str) -> Drafted:
    """Give a draft with another text, checked and predicted.

    Raises:
        SpecError: The operator's file has mistakes by now.
    """
    base = load_file(found.file)
    if problems := tuple(mistakes(text, base)):
        why = (*_by_words(found), UNKNOWN)
        return msgspec.structs.replace(
            found, text=text, digest="", agents=(), problems=problems, why=why, prediction=None
        )
    spec = spec_of(text, base)
    return msgspec.structs.replace(
        found,
        text=text,
        digest=binding(text, spec),
        agents=tuple(crew(spec)),
        problems=(),
        why=_why(found, spec),
        prediction=predicted(store, spec, {}, time.time_ns()),
    )


def _by_words(found: Drafted) -> list[str]:
    return [] if found.draft is None else reasons(found.draft, found.bar)


def _why(found: Drafted, spec: RunSpec) -> tuple[str, ...]:
    """Say why a draft needs a person's approval, as it is to run now."""
    why = [*_by_words(found), *harms(spec)]
    if not why and spec.workflow.approval is not None:
        why = ["its text asks for an approval"]
    return tuple(why)


def ready_spec(found: Drafted, text: str, *, shown: str = "", approved: bool = False) -> RunSpec:
    """Give the spec that a draft's text runs as.

    Where the draft needs approval, the plan waits for it before it begins, unless exactly what
    would run was approved.

    Args:
        found: The draft.
        text: Its text, as it may have been edited.
        shown: The digest of what a person has seen, or "": what runs now has to be that.
        approved: Whether the person has approved of it.

    Raises:
        Refused: There is no draft, or what would run is not what was shown.
        SpecError: The text has mistakes.
        NotFound: It has several plans.
    """
    if found.draft is None:
        raise Refused(f"run {found.run} has no draft: it {stands(found.status)}")
    if approved and not shown:
        raise Refused("an approval names what was shown: give its digest")
    base = load_file(found.file)
    spec = spec_of(text, base)
    if shown and shown != binding(text, spec):
        raise Refused("the plan, or an agent of it, is not as it was shown; look at it again")
    if approved:
        # The text asks for what it has got already.
        return ungated(spec)
    return spec_of(text, base, approve=True) if _why(found, spec) else spec


def suggested_name(found: Drafted) -> str:
    """Give a name for the file of a draft."""
    assert found.draft is not None
    return f"{plan_name(found.draft)}.yaml"


async def draft(host: Host, task: str, *, file: str | None = None, agent: str | None = None) -> str:
    """Start a planning run on a host; gives its id.

    It is about the folder of the offered file whose agents it uses.

    Args:
        host: Who drives it.
        task: What is to be planned.
        file: The offered file's name; by default the first one.
        agent: Who plans; by default the file's first agent that can.

    Raises:
        NotFound: There is no such file, or no such agent.
        SpecError: The file has mistakes.
        Refused: There is no task, or the host drives as many runs as it may.
        JournalError: It could not be recorded.
    """
    path = _offered(host, file)

    def prepare() -> tuple[RunSpec, dict[str, Json]]:
        loaded = load_file(path)
        spec = planning_spec(loaded, planner_of(loaded, agent))
        return spec, planning_inputs(loaded, task, path.parent)

    spec, inputs = await asyncio.to_thread(prepare)
    return await host.start_spec(spec, inputs)


async def start_draft(
    host: Host, found: Drafted, text: str, *, shown: str = "", approved: bool = False
) -> str:
    """Run a draft's text on a host; gives the run's id.

    Args:
        host: Who drives it.
        found: The draft.
        text: Its text, as it may have been edited.
        shown: The digest of what a person has seen, or "".
        approved: Whether the person has approved of it.

    Raises:
        Refused: As `ready_spec`, or the host drives as many runs as it may.
        SpecError: The text has mistakes.
        NotFound: It has several plans.
        JournalError: It could not be recorded.
    """
    spec = await asyncio.to_thread(ready_spec, found, text, shown=shown, approved=approved)
    return await host.start_spec(spec, {})


def _offered(host: Host, file: str | None) -> Path:
    paths = {offer.file: offer.path for offer in host.offers()}
    if file is None and paths:
        return next(iter(paths.values()))
    if file is not None and file in paths:
        return paths[file]
    if not paths:
        raise NotFound("no file is offered here whose agents could plan: hocket serve hocket.yaml")
    hint = suggest(str(file), paths) or f"there are {', '.join(paths)}"
    raise NotFound(f"no file {file!r} is offered here; {hint}")
