"""A world of cells: walls, goals, hazards, resources; agents that move, meet, see and tell.

What an agent sees is drawn from tables of probabilities (`senses`), or read from fields in which
all agents have left their mark (`fields`); nobody looks at anybody, so that a tick costs
O(agents + cells).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Problem, SpecError
from hocket.population.draws import uniforms
from hocket.population.transitions import Floats, Grid, Ints
from hocket.population.worlds import senses
from hocket.population.worlds.fields import claimed, nearby, settled, standing
from hocket.population.worlds.messages import leave, overheard
from hocket.population.worlds.world import Agents, Info, WorldState

Sense: TypeAlias = Literal["scent", "ground", "walls", "landmark", "ripe", "crowd", "message"]
"""What agents can see; see `GridWorld.senses`."""

DRAWN = ("scent", "ground", "walls", "landmark")
"""The senses that depend on the place alone, and are noisy."""

Cells: TypeAlias = tuple[tuple[int, int], ...]
"""Cells, (row, column) each."""


class Plan(NamedTuple):
    """What follows from where things are in a world.

    Fields:
        kinds: What stands on each cell, [cells].
        goals: The cells of the goals.
        targets: The cell that a move leads to if it does not slip, [actions, cells].
        tables: Probabilities of each observation of the senses that depend on the place alone,
            [observations, cells] each; in a `hidden` world the scent is [observations, cells,
            goals]: it depends on the goal that is open.
        entrances: The cells where agents are placed.
        near: The first goal that smells strongly on a cell if it is open, from 1; 0 where none
            does, [cells]: those within a quarter of the steps that a scent carries.
    """

    kinds: Ints
    goals: Ints
    targets: Ints
    tables: dict[str, Floats]
    entrances: Ints
    near: Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class GridWorld:
    """A world of cells.

    At each tick all agents move at once, get what the place holds, and see.
    With `collisions` an agent enters a cell only if nobody stood on it when the tick began, and of
    several who want it the oldest does.
    Further numbers of a step: "reached" (stands on a goal that is open), "hazard" (stands on one),
    "blocked" (did not move though it tried), "taken" (took a resource).

    Fields:
        height: Rows.
        width: Columns.
        moves: For each action (rows down, columns right).
        walls: Cells that cannot be entered.
        goals: Cells that are worth reaching.
        hazards: Cells that are not.
        resources: Cells where a resource grows; the oldest agent on it takes it.
        starts: Where agents are placed, by chance; every empty cell, if there are none.
        slip: Probability that a move does not happen.
        noise: Probability that what is seen is any of a sense's observations.
        senses: What agents see, one modality each: "scent" of goals, and hazards (see
            `senses.scent_table`); the "ground" they stand on; the "walls" beside them; a
            "landmark"; whether there is a "ripe" resource; how many others there are within
            `radius` ("crowd"); the "message" most often left within it, by those near a goal k:
            that it is shut (2k + 1) or open (2k + 2).
        carry: How many steps the scent of a goal carries.
        landmarks: How many landmarks there are.
        radius: How far off others are noticed, and messages understood, in cells.
        crowd: The least numbers of others that are told apart.
        collisions: Whether two agents cannot be on one cell.
        wrap: Whether the world's edges meet.
        again: Whether one who reaches a goal is placed anew, and begins a new episode.
        hidden: Whether only one of the goals is open, drawn at the beginning; the others neither
            smell nor count.
        rounds: Ticks after which a new round begins: all agents are placed anew, what was said and
            taken is forgotten, and the open goal is drawn again; 0 for never.
        regrow: Ticks until a resource that was taken is ripe again.
        rewards: For a goal, a hazard and a resource.

    Raises:
        SpecError: if cells lie outside or on one another, or a number makes no sense.
    """

    height: int
    width: int
    moves: tuple[tuple[int, int], ...] = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
    walls: Cells = ()
    goals: Cells = ()
    hazards: Cells = ()
    resources: Cells = ()
    starts: Cells = ()
    slip: float = 0.0
    noise: float = 0.1
    senses: tuple[Sense, ...] = ("scent",)
    carry: float = 6.0
    landmarks: int = 5
    radius: int = 2
    crowd: tuple[int, ...] = (1, 3)
    collisions: bool = False
    wrap: bool = False
    again: bool = False
    hidden: bool = False
    rounds: int = 0
    regrow: int = 20
    rewards: tuple[float, float, float] = (1.0, -1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse what makes no sense; see the class."""
        if problems := _problems(self):
            raise SpecError(problems)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.height * self.width

    @property
    def actions(self) -> tuple[int, ...]:
        """How many actions each control has."""
        return (len(self.moves),)

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""
        dynamic = {"ripe": 2, "crowd": len(self.crowd) + 1, "message": 2 * len(self.goals) + 1}
        return tuple(
            dynamic[sense] if sense in dynamic else len(self.plan.tables[sense])
            for sense in self.senses
        )

    @property
    def room(self) -> int | None:
        """The most agents that can be alive at once; None if there is no bound."""
        return len(self.plan.entrances) if self.collisions else None

    @cached_property
    def plan(self) -> Plan:
        """What follows from where things are."""
        return _planned(self)

    def neighbourhoods(self, reach: int) -> int:
        """How many squares of so many cells a side the world has."""
        return -(-self.height // reach) * -(-self.width // reach)

    def neighbourhood(self, state: WorldState, reach: int) -> jax.Array:
        """The number of the square that each agent stands in, [N]."""
        rows, columns = np.divmod(np.arange(self.cells, dtype=np.int32), self.width)
        square = rows // reach * -(-self.width // reach) + columns // reach
        return jnp.asarray(square)[state.own["cell"]]

    def reset(self, key: jax.Array, agents: Agents) -> tuple[jax.Array, WorldState]:
        """Begin: place all agents, and let them see, [modalities, N]."""
        shared: dict[str, jax.Array] = {}
        if self.hidden:
            shared["open"] = self._drawn_goal(key)
        if self.rounds:
            shared["clock"] = jnp.int32(0)
        if self.resources:
            shared["ripens"] = jnp.zeros(self.cells, jnp.int32)
        if "message" in self.senses:
            shared["board"] = jnp.zeros((2 * len(self.goals), self.cells), jnp.int32)
        nowhere = jnp.zeros(agents.ids.shape, jnp.int32)
        own = {"cell": nowhere}
        if "message" in self.senses:
            own |= {"word": nowhere, "said": nowhere}
        return self.enter(key, WorldState(own, shared), agents, agents.alive)

    def enter(
        self, key: jax.Array, state: WorldState, agents: Agents, new: jax.Array
    ) -> tuple[jax.Array, WorldState]:
        """Place the agents that are new, [N]; all living agents see, [modalities, N]."""
        chance = uniforms(key, agents.ids, 1 + len(self.senses))
        others = agents.alive & ~new
        cell, _ = self._placed(chance[0], state.own["cell"], new & agents.alive, others, agents)
        own = {**state.own, "cell": cell}
        if "word" in own:
            own["word"] = jnp.where(new, 0, own["word"])
        state = WorldState(own, state.shared)
        return self._see(chance[1:], state, agents), state

    def step(
        self, key: jax.Array, state: WorldState, actions: jax.Array, agents: Agents
    ) -> tuple[jax.Array, WorldState, jax.Array, jax.Array, Info]:
        """Let all agents act at once; see `World`."""
        # The senses' numbers come last, so that the first are the same whatever is seen.
        chance = uniforms(key, agents.ids, 2 + len(self.senses))
        before, action = state.own["cell"], actions[0]
        slips = chance[0] < self.slip
        aim = jnp.asarray(self.plan.targets.reshape(-1))[action * self.cells + before]
        cell = self._moved(before, jnp.where(slips, before, aim), agents)
        still = jnp.asarray([move == (0, 0) for move in self.moves])[action]
        kind = jnp.asarray(self.plan.kinds)[cell]
        reached = kind == senses.GOAL
        if self.hidden:
            reached = cell == jnp.asarray(self.plan.goals)[state.shared["open"]]
        shared, taken = self._harvest(state.shared, cell, agents)
        hazard = kind == senses.HAZARD
        info = {
            "reached": reached & agents.alive,
            "hazard": hazard & agents.alive,
            "blocked": agents.alive & ~slips & ~still & (cell == before),
            "taken": taken,
        }
        worth = zip(self.rewards, (info["reached"], info["hazard"], taken), strict=True)
        reward = jnp.zeros(cell.shape, jnp.float32)
        for each, gets in worth:
            reward = reward + jnp.where(gets, jnp.float32(each), 0)
        over = jnp.bool_(False)
        if self.rounds:
            shared, over = self._next_round(key, shared)
        done = agents.alive & (over | (reached & self.again))
        if self.again or self.rounds:
            cell, done = self._placed(chance[1], cell, done, agents.alive & ~over, agents)
        state = WorldState({**state.own, "cell": cell}, shared)
        seen = self._see(chance[2:], state, agents)
        return seen, self._said(seen, state, agents), reward, done, info

    def _drawn_goal(self, key: jax.Array) -> jax.Array:
        """The number of the goal that is open."""
        drawn = jax.random.randint(jax.random.fold_in(key, 0), (), 0, len(self.goals))
        return drawn.astype(jnp.int32)

    def _next_round(
        self, key: jax.Array, shared: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """What is shared after a tick, and whether the round is over."""
        clock = shared["clock"] + 1
        over = clock >= self.rounds
        begun = {name: jnp.zeros_like(values) for name, values in shared.items()}
        if self.hidden:
            begun["open"] = self._drawn_goal(key)
        after = {**shared, "clock": clock}
        return {name: jnp.where(over, begun[name], after[name]) for name in after}, over

    def _moved(self, before: jax.Array, aim: jax.Array, agents: Agents) -> jax.Array:
        """Where agents are after their moves."""
        if not self.collisions:
            return aim
        occupied = standing(before, agents.alive, self.cells, agents.across)
        wants = agents.alive & (aim != before) & (occupied[aim] == 0)
        gets = claimed(aim, wants, agents.ids, self.cells, agents.across)
        return jnp.where(gets, aim, before)

    def _harvest(
        self, shared: dict[str, jax.Array], cell: jax.Array, agents: Agents
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """Let agents take what is ripe; what was taken grows."""
        if not self.resources:
            return shared, jnp.zeros(cell.shape, bool)
        ripe = self._ripe(shared)
        taken = claimed(cell, agents.alive & ripe[cell], agents.ids, self.cells, agents.across)
        gone = standing(cell, taken, self.cells, agents.across)
        ripens = jnp.where(gone > 0, self.regrow, jnp.maximum(shared["ripens"] - 1, 0))
        return {**shared, "ripens": ripens}, taken

    def _ripe(self, shared: dict[str, jax.Array]) -> jax.Array:
        """Where there is a resource to be taken, [cells]."""
        return jnp.asarray(self.plan.kinds == senses.RESOURCE) & (shared["ripens"] == 0)

    def _placed(
        self,
        chance: jax.Array,
        cell: jax.Array,
        wants: jax.Array,
        there: jax.Array,
        agents: Agents,
    ) -> tuple[jax.Array, jax.Array]:
        """Place agents by chance; with collisions on the next cell that is free.

        Args:
            chance: A uniform number for each, [N].
            cell: Where they are, [N].
            wants: Who is to be placed, [N].
            there: Who stands in the way: all but the new, [N].
            agents: All.

        Returns:
            Where all agents are, and who has been placed.
        """
        many = len(self.plan.entrances)
        first = (chance * many).astype(jnp.int32)
        entrances = jnp.asarray(self.plan.entrances)
        if not self.collisions:
            return jnp.where(wants, entrances[first], cell), wants
        occupied = standing(cell, there, self.cells, agents.across)[self.plan.entrances]
        place, gets = settled(first, wants, occupied, agents.ids, agents.across)
        return jnp.where(gets, entrances[place], cell), gets

    def _see(self, chance: jax.Array, state: WorldState, agents: Agents) -> jax.Array:
        """What all agents see where they are, [modalities, N]."""
        cell = state.own["cell"]
        seen = []
        for number, sense in enumerate(self.senses):
            if sense in DRAWN:
                limits = jnp.asarray(_limits(self.plan.tables[sense]))
                if limits.ndim == 3:
                    limits = limits[:, :, state.shared["open"]]
                seen.append((chance[number] >= limits[:, cell]).sum(0))
            elif sense == "ripe":
                ripe = jnp.asarray(self.plan.kinds == senses.RESOURCE) & (
                    state.shared["ripens"] == 0
                )
                seen.append(ripe[cell])
            elif sense == "crowd":
                seen.append(self._crowd(cell, agents))
            else:
                seen.append(
                    overheard(
                        state.shared["board"],
                        self.height,
                        self.width,
                        self.radius,
                        wrap=self.wrap,
                        cell=cell,
                        word=state.own["word"],
                        said=state.own["said"],
                    )
                )
        return jnp.stack([observation.astype(jnp.int32) for observation in seen])

    def _crowd(self, cell: jax.Array, agents: Agents) -> jax.Array:
        """How many others there are near each agent, in classes, [N]."""
        field = standing(cell, agents.alive, self.cells, agents.across)
        around = nearby(field, self.height, self.width, self.radius, wrap=self.wrap)
        others = around[cell] - agents.alive
        return (others >= jnp.asarray(self.crowd)[:, None]).sum(0)

    def _said(self, seen: jax.Array, state: WorldState, agents: Agents) -> WorldState:
        """Agents near a goal leave word of it: open if it smells strongly, shut if not."""
        if "message" not in self.senses:
            return state
        scent = seen[self.senses.index("scent")]
        cell = state.own["cell"]
        goal = jnp.asarray(self.plan.near)[cell]
        is_open = (scent == 2) | (scent == 3)
        word = jnp.where((goal > 0) & agents.alive, 2 * goal - 1 + is_open, 0)
        words = 2 * len(self.goals)
        board = leave(cell, word, agents.alive, words=words, cells=self.cells, across=agents.across)
        return WorldState(
            {**state.own, "word": word, "said": cell}, {**state.shared, "board": board}
        )


def _planned(world: GridWorld) -> Plan:
    """Work out what follows from where things are."""

    def numbers(places: Iterable[tuple[int, int]]) -> Ints:
        return np.array([row * world.width + column for row, column in places], np.int32)

    kinds = np.full(world.cells, senses.EMPTY, np.int32)
    kinds[numbers(world.walls)] = senses.WALL
    kinds[numbers(world.goals)] = senses.GOAL
    kinds[numbers(world.hazards)] = senses.HAZARD
    kinds[numbers(world.resources)] = senses.RESOURCE
    goals, targets = numbers(world.goals), _targets(world, kinds == senses.WALL)
    near = np.zeros(world.cells, np.int32)
    for number in reversed(range(len(goals))):
        away = senses.steps_to(targets, goals[[number]])
        near[away <= max(1, world.carry / 4)] = number + 1
    starts = numbers(world.starts)
    return Plan(
        kinds=kinds,
        goals=goals,
        targets=targets,
        tables=_tables(world, kinds, goals, targets),
        entrances=starts if len(starts) else np.flatnonzero(kinds == senses.EMPTY).astype(np.int32),
        near=near,
    )


def _targets(world: GridWorld, walls: NDArray[np.bool_]) -> Ints:
    """The cell that a move leads to if it does not slip, [actions, cells]."""
    shape = (world.height, world.width)
    if not world.wrap:
        return Grid(*shape, world.moves, walls=walls.reshape(shape)).targets()
    cells = np.arange(world.cells, dtype=np.int32)
    rows, columns = np.divmod(cells, world.width)
    aims = np.stack(
        [
            (rows + down) % world.height * world.width + (columns + right) % world.width
            for down, right in world.moves
        ]
    )
    return np.where(walls[aims], cells, aims).astype(np.int32)


def _tables(world: GridWorld, kinds: Ints, goals: Ints, targets: Ints) -> dict[str, Floats]:
    """The tables of those senses that agents of this world have; see `Plan`."""
    tables: dict[str, Floats] = {}
    if "scent" in world.senses:
        smelled = [goals[[number]] for number in range(len(goals))] if world.hidden else [goals]
        scents = [
            senses.scent_table(
                kinds,
                np.isin(np.arange(world.cells), some),
                senses.steps_to(targets, some),
                world.carry,
                world.noise,
            )
            for some in smelled
        ]
        tables["scent"] = np.stack(scents, axis=-1) if world.hidden else scents[0]
    if "ground" in world.senses:
        tables["ground"] = senses.ground_table(kinds, world.noise)
    if "walls" in world.senses:
        blocked = targets[:4] == np.arange(world.cells)
        tables["walls"] = senses.walls_table(blocked, world.noise)
    if "landmark" in world.senses:
        tables["landmark"] = senses.landmark_table(world.cells, world.landmarks, world.noise)
    return tables


def _limits(table: Floats) -> NDArray[np.float32]:
    """Running totals of probabilities, [observations - 1, ...]; an observation ends at its own."""
    totals = np.cumsum(table, axis=0)[:-1]
    # A total that is 1 but for rounding must not leave room for what cannot be seen.
    return np.where(totals > 1 - 1e-9, 1, totals).astype(np.float32)


def _problems(world: GridWorld) -> list[Problem]:
    """What is wrong with a world."""
    wrong: list[tuple[str, str]] = []
    if world.height < 1 or world.width < 1:
        return [Problem(where=("world",), message="a world has at least one row and one column")]
    taken: dict[tuple[int, int], str] = {}
    for name in ("walls", "goals", "hazards", "resources"):
        for place in getattr(world, name):
            if not (0 <= place[0] < world.height and 0 <= place[1] < world.width):
                wrong.append((name, f"{place} is outside {world.height} x {world.width} cells"))
            elif taken.setdefault(place, name) != name:
                wrong.append((name, f"{place} is one of the {taken[place]} already"))
    for place in world.starts:
        if taken.get(place) == "walls" or not (
            0 <= place[0] < world.height and 0 <= place[1] < world.width
        ):
            wrong.append(("starts", f"nobody can stand at {place}"))
    for name in ("slip", "noise"):
        if not 0 <= getattr(world, name) <= 1:
            wrong.append((name, f"{getattr(world, name)} is no probability"))
    known = (*DRAWN, "ripe", "crowd", "message")
    wrong += [("senses", f"there is no sense {s!r}") for s in world.senses if s not in known]
    if not world.senses:
        wrong.append(("senses", "agents must see something"))
    needs = {
        "walls": (len(world.moves) < 4, "at least four moves"),
        "ripe": (not world.resources, "resources"),
        "message": (not world.goals or "scent" not in world.senses, 'goals and the sense "scent"'),
    }
    wrong += [
        ("senses", f"the sense {s!r} needs {needs[s][1]}")
        for s in world.senses
        if s in needs and needs[s][0]
    ]
    if world.hidden and not world.goals:
        wrong.append(("hidden", "there is no goal to be open"))
    for name, least in (("landmarks", 2), ("radius", 0), ("regrow", 1), ("rounds", 0)):
        if getattr(world, name) < least:
            wrong.append((name, f"{getattr(world, name)} is less than {least}"))
    if not 0 < world.carry < float("inf"):
        wrong.append(("carry", f"{world.carry} is no number of steps"))
    if not wrong and len(taken) == world.cells and not world.starts:
        wrong.append(("starts", "no cell is empty"))
    return [Problem(where=("world", name), message=message) for name, message in wrong]
