"""Makes the job specs of a step: how its calls are done, whoever does them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hocket.core.machine import JobSpec
from hocket.core.specs import AgentSpec, StepSpec
from hocket.core.teams import Tool
from hocket.core.values import Json


def job_of(
    step: StepSpec,
    agents: Mapping[str, AgentSpec],
    names: tuple[str, ...],
    output: Json,
    options: dict[str, Json],
    tools: Sequence[Tool] = (),
    sample: str | None = None,
) -> JobSpec:
    """Make the spec of a job that is done as a step says.

    Args:
        step: Whose retries, time-outs, units and hedges count.
        agents: All agents of the run.
        names: The agent, then its fallbacks.
        output: JSON Schema that the output must fit.
        options: Settings for the agent.
        tools: What a model may call instead of giving its answer.
        sample: What tells it apart from jobs that ask the same; see `JobSpec`.
    """
    return JobSpec(
        agents=names,
        effects=tuple(
            [agents[name].effects if step.effects is None else step.effects for name in names]
        ),
        retry=step.retry,
        timeout=step.timeout,
        output=output,
        options=options,
        uses=tuple(step.uses.items()),
        limited=tuple([bool(agents[name].limits) for name in names]),
        hedge=step.hedge,
        tools=tuple(tools),
        sample=sample,
    )
