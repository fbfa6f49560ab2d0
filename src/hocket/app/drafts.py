"""Drafts as specs: what people have made of a drafted plan, held to what a draft may state.

A draft names agents of the operator's file and gives them prompts.
It can state no program, no function and no model: those come from that file alone.
"""

from __future__ import annotations

from typing import Final

from hocket.app.load import checked, settle
from hocket.config.file import Loaded, read_text
from hocket.config.models import CommandAgent, LocalAgent, ModelAgent, PlanPart, ScriptedAgent
from hocket.config.step_parts import CommandSettings, CommandStep, FunctionStep, ShellStep
from hocket.core.errors import CallerError, Problem, SpecError
from hocket.core.specs import RunSpec

DRAFT: Final = "(draft)"
"""Stands in place of a file's name where a draft's mistakes are told."""
_SETTINGS: Final = frozenset(CommandSettings.model_fields)


def spec_of(text: str, base: Loaded, *, approve: bool = False) -> RunSpec:
    """Give the spec of a draft's text, as it may have been edited.

    Args:
        text: The text.
        base: The operator's file.
        approve: Have the plan wait for a person's approval, whatever the text says.

    Raises:
        SpecError: It has mistakes, or states what only the operator's file may; lines say where.
        NotFound: It has several plans.
    """
    loaded = read_text(text, DRAFT, presets=base.presets, base=base)._replace(place=base.place)
    assert loaded.document is not None
    if foreign := _foreign(loaded):
        raise SpecError(
            foreign,
            [
                f"{DRAFT}:{mark.line + 1}:{mark.column + 1}: {problem.message}"
                for problem in foreign
                for mark in (loaded.document.find(problem.where),)
            ],
        )
    name = loaded.spec().name
    if approve and not loaded.file.plans[name].approve:
        plans = {**loaded.file.plans, name: _gated(loaded.file.plans[name])}
        loaded = loaded._replace(file=loaded.file.model_copy(update={"plans": plans}))
    return settle(checked(loaded, name), base.source, loaded)


def _gated(plan: PlanPart) -> PlanPart:
    gate = PlanPart.model_validate({"approve": True, "steps": {"x": {"approve": "-"}}}).approve
    return plan.model_copy(update={"approve": gate})


def mistakes(text: str, base: Loaded) -> list[str]:
    """Give a line for each mistake in a draft's text."""
    try:
        spec_of(text, base)
    except SpecError as error:
        return list(error.lines)
    except CallerError as error:
        return [str(error)]
    return []


def _foreign(loaded: Loaded) -> list[Problem]:
    """Find what a draft must not state."""
    found = []
    for name, plan in loaded.file.plans.items():
        for step, part in plan.steps.items():
            where = ("plans", name, "steps", step)
            if isinstance(part, CommandStep | ShellStep | FunctionStep):
                message = "a drafted step names an agent; programs stand in the operator's file"
                found.append(Problem(where=where, message=message))
            elif stated := sorted(_SETTINGS & part.model_fields_set):
                message = f"{stated[0]} stands in the operator's file, not in a drafted step"
                found.append(Problem(where=(*where, stated[0]), message=message))
    return found


def staff(loaded: Loaded) -> dict[str, str]:
    """Say of each agent that a draft may name what it is."""
    found = {}
    for name, agent in loaded.file.agents.items():
        if isinstance(agent, ModelAgent):
            found[name] = f"asks {agent.model}. {(agent.system or '')[:200]}".strip()
        elif isinstance(agent, CommandAgent):
            found[name] = f"runs {agent.command[0]} with the prompt on its standard input"
        elif isinstance(agent, LocalAgent):
            found[name] = "the small embedded demo model: short texts only"
        elif isinstance(agent, ScriptedAgent):
            found[name] = "answers from a script"
        else:
            found[name] = "an agent of the file"
    return found
