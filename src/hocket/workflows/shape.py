"""A plan made ready to run: names resolved to numbers, texts parsed, edges turned round.

A shape never changes, so all machines and forks of a plan share one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from hocket.core.expr import Reference, parse_expr
from hocket.core.machine import JobSpec
from hocket.core.specs import AgentSpec, PlanSpec, StepSpec, agents_of
from hocket.core.template import Template, parse_template
from hocket.workflows.jobs import job_of
from hocket.workflows.live import ALONE, Place
from hocket.workflows.teams import TeamMaker, team_of

RESERVED = frozenset({"inputs", "steps", "item", "index", "round", "previous", "run"})
"""Root names with a meaning of their own; no step may be called so."""

_NO_TEMPLATE = Template((), lambda lookup: None)


class Node:
    """A step in its place.

    Attributes:
        place: Where its path points, if it is alone and in its first round.
        plain: Whether the step is one job and nothing else.
        bare: Whether that job is to be done as soon as its inputs are there, on no condition.
        nests: Whether a workflow of its own does the step.
        fixed: Whether what its agent gets is the same whatever the others give.
    """

    __slots__ = (
        "bare",
        "child",
        "dependents",
        "each",
        "fixed",
        "index",
        "input",
        "job",
        "needs",
        "nests",
        "place",
        "plain",
        "spec",
        "team",
        "team_agents",
        "until",
        "wanters",
        "wants",
        "when",
    )

    def __init__(self, index: int, spec: StepSpec) -> None:
        self.index = index
        self.spec = spec
        self.needs: tuple[int, ...] = ()
        self.wants: tuple[int, ...] = ()
        self.dependents: tuple[int, ...] = ()
        """Steps that need this one."""
        self.wanters: tuple[int, ...] = ()
        """Steps that want this one."""
        self.job: JobSpec | None = None
        self.child: Shape | None = None
        self.team: TeamMaker | None = None
        self.team_agents: dict[str, bool] = {}
        """Every agent of the team, and whether repeating a call of it could do harm."""
        self.input = _NO_TEMPLATE if spec.input is None else parse_template(spec.input)
        self.when = None if spec.when is None else parse_expr(spec.when)
        self.each = None if spec.each is None else parse_expr(spec.each)
        self.until = None if spec.repeat is None else parse_expr(spec.repeat.until)
        self.place = Place(spec.name, ALONE, 1, "")
        self.fixed = not self.input.references
        self.settle()

    def settle(self) -> None:
        """Note what follows from its parts, once they are there."""
        self.nests = self.child is not None or self.team is not None
        alone = self.each is None and self.until is None and self.team is None
        alone = alone and self.spec.approval is None
        self.plain = self.job is not None and alone
        self.bare = self.plain and self.when is None

    @property
    def soft(self) -> bool:
        """Whether the step is waited for by others, but needed by none."""
        return bool(self.wanters) and not self.dependents

    @property
    def stops(self) -> bool:
        """Whether the plan cannot go on once the step has failed."""
        return self.spec.on_failure == "stop" and not self.soft

    @property
    def harmless(self) -> bool:
        """Whether the step may be left undone when nobody waits for it any more."""
        if self.team is not None:
            return not any(self.team_agents.values())
        if self.job is not None:
            return not any(self.job.effects)
        return self.child is None

    def references(self) -> Iterator[Reference]:
        """Give every name that the step's texts read, but what ``until`` says of the step."""
        for _, reference in self.input.references:
            yield reference
        for expr in (self.when, self.each):
            if expr is not None:
                yield from expr.references
        if self.until is not None:
            yield from (r for r in self.until.references if r.root != self.spec.name)


class Shape:
    """A plan made ready to run. The spec must have passed `hocket.workflows.check`."""

    __slots__ = ("agents", "index", "nests", "nodes", "output", "sinks", "spec", "uses")

    def __init__(self, spec: PlanSpec, agents: Mapping[str, AgentSpec]) -> None:
        self.spec = spec
        self.agents = agents
        self.index = {step.name: i for i, step in enumerate(spec.steps)}
        self.nodes = [Node(i, step) for i, step in enumerate(spec.steps)]
        self.output: Template | None = None if spec.output is None else parse_template(spec.output)
        jobs: dict[tuple[object, ...], JobSpec] = {}
        self._connect()
        for node in self.nodes:
            if node.spec.kind == "call":
                node.job = _job(node.spec, agents, jobs)
            elif node.spec.plan is not None:
                node.child = Shape(node.spec.plan, agents)
            node.team = team_of(node.spec, agents)
            if node.team is not None:
                names = sorted(agents_of(node.spec, agents))
                node.team_agents = {name: agents[name].effects for name in names}
            node.settle()
        self.uses: tuple[int, ...] = tuple(_output_uses(self))
        """The steps that the plan's output reads."""
        self.nests = any(node.nests for node in self.nodes)
        """Whether a workflow of its own does any of the steps."""
        self.sinks = [n.index for n in self.nodes if not n.dependents and not n.wanters]

    def in_order(self) -> Iterator[Node]:
        """Give the nodes so that each comes behind those that it depends on."""
        left = [len(node.needs) + len(node.wants) for node in self.nodes]
        ready = [node for node in self.nodes if not left[node.index]]
        for node in ready:
            yield node
            for index in (*node.dependents, *node.wanters):
                left[index] -= 1
                if not left[index]:
                    ready.append(self.nodes[index])

    def _connect(self) -> None:
        # Few steps have many edges, and of 100,000 lists the empty ones would be the most.
        dependents: defaultdict[int, list[int]] = defaultdict(list)
        wanters: defaultdict[int, list[int]] = defaultdict(list)
        for node in self.nodes:
            needs, wants = dependencies(node, self.index)
            node.needs = tuple(self.index[name] for name in needs)
            node.wants = tuple(self.index[name] for name in wants)
            for i in node.needs:
                dependents[i].append(node.index)
            for i in node.wants:
                wanters[i].append(node.index)
        for i, found in dependents.items():
            self.nodes[i].dependents = tuple(found)
        for i, found in wanters.items():
            self.nodes[i].wanters = tuple(found)


def dependencies(node: Node, names: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Give a step's needs and wants, with the steps that its texts name as needs.

    A step that is needed and wanted is needed.
    """
    needs = dict.fromkeys(node.spec.needs)
    wants = {name: None for name in node.spec.wants if name not in needs}
    for reference in node.references():
        name = step_named(reference)
        if name in names and name not in wants and name != node.spec.name:
            needs[name] = None
    return list(needs), list(wants)


def step_named(reference: Reference) -> str:
    """Give the step that a reference may mean: ``spec.x`` and ``steps.spec.x`` mean ``spec``."""
    if reference.root == "steps" and len(reference.names) > 1:
        return str(reference.names[1])
    return reference.root


def _job(
    spec: StepSpec, agents: Mapping[str, AgentSpec], known: dict[tuple[object, ...], JobSpec]
) -> JobSpec:
    names = (spec.agent, *spec.fallback)
    # Steps of equal settings share one object; those with settings of their own cannot be hashed.
    plain = spec.output is None and not spec.options
    uses = tuple(spec.uses.items())
    key = (names, spec.retry, spec.timeout, spec.effects, uses, spec.hedge)
    if plain and key in known:
        return known[key]
    job = job_of(spec, agents, names, spec.output, spec.options)
    if plain:
        known[key] = job
    return job


def _output_uses(shape: Shape) -> dict[int, None]:
    references = () if shape.output is None else shape.output.references
    names = [step_named(reference) for _, reference in references]
    return dict.fromkeys(shape.index[name] for name in names if name in shape.index)
