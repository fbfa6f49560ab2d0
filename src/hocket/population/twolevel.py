"""Beliefs for big grids: every cell of a window near the agent, and tiles for all the rest.

The world is divided into square tiles.
A window of a few tiles by a few tiles is believed cell by cell, and exactly; each other tile has
one number, and its probability is taken to lie evenly over its cells.
An agent so keeps a few kilobytes, however big its world is.

What crosses the window's edge changes from one form to the other, and the sum stays 1.
After each move the window goes to where it covers most, with the middle counting double, if that
is clearly more than where it is.
Tiles that leave the window are summed up; tiles that enter it are spread evenly.

What is lost is what these two steps forget: where within a tile probability lies.
So an agent that may be anywhere learns where it is only from what differs between tiles; as soon
as nine tenths of its belief are in the window, it learns from single cells.
`twolevel_accuracy` measures how far beliefs and actions then are from those of agents that keep
every cell.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from hocket.core.errors import SpecError
from hocket.population.choice import choose, policy_posterior
from hocket.population.group import Group
from hocket.population.inference import at_least, chosen
from hocket.population.learning import Counts
from hocket.population.linear import LinearPlanner
from hocket.population.mind import FullMind, MindState, Thought
from hocket.population.model import FLOOR
from hocket.population.moving import move
from hocket.population.tables import Tables, moves_of, tables_of
from hocket.population.tiles import ACROSS, TILE, refusal, split_of, windows

BETTER = 0.1
"""How much more the window must cover elsewhere before it goes there."""


SURE = 0.9
"""How probable the window must be for its cells to count against the tiles outside."""


TRUST = 0.3
"""How much each observation counts for and against tiles until then, as a power.

What an agent sees from one cell of a tile, again and again, is less than it would be from many.
"""


class Decided(NamedTuple):
    """What agents have made up their minds about, before they act.

    Fields:
        actions: What each does, [1, lanes].
        info: Numbers of each agent, [lanes].
        ahead: The window with its margins after each sequence of actions, [cells, lanes].
        tiles: What is believed about the tiles outside the window, [tiles, lanes].
        shares: Which share of its tile each cell of the window has, [cells, lanes].
    """

    actions: jax.Array
    info: dict[str, jax.Array]
    ahead: dict[tuple[int, ...], jax.Array]
    tiles: jax.Array
    shares: jax.Array


class TwoLevelMind(FullMind):
    """The mind of agents that believe cells near them, and tiles elsewhere.

    Args:
        group: The agents.

    Raises:
        SpecError: if the model is not one of moves on a large grid, or the group learns.
    """

    def __init__(self, group: Group) -> None:
        if group.learning is not None:
            raise SpecError([refusal("nothing is learned with them")])
        self.split = split_of(group.model)
        self.lists = self.split.between_tiles()
        super().__init__(group)
        self.linear = LinearPlanner(group.model)
        self.sequences = _sequences(self.linear)

    def tables(self, dtype: DTypeLike) -> Tables:
        """What all its agents share, on the device."""
        return self.planned(tables_of(self.model, dtype))

    def planned(self, tables: Tables) -> Tables:
        """The tables with maps of what windows need, and what is so on average in tiles."""
        split, dtype = self.split, tables.D[0].dtype
        shares = jnp.asarray(split.shares(), dtype)
        rows = []
        for likelihood in tables.A:
            rows += [
                at_least(likelihood),
                -(likelihood * jnp.log(at_least(likelihood))).sum(0)[None],
            ]
        seen = split.map(jnp.concatenate(rows))
        ahead = self.linear.prepare(tables)["W0"]
        allowed = tables.B[0]["allowed"].reshape(self.split.grid.actions, -1)
        inner = jnp.pad(shares, split.margin)[None]
        clear = at_least(split.average(seen, shares))
        plan = {
            "maps": jnp.concatenate([seen, split.map(allowed), inner]),
            "shares": shares,
            "least_in_tiles": jnp.asarray(split.free_cells().reshape(-1, 1) * FLOOR, dtype),
            "seen_in_tiles": clear,
            "dimly_seen_in_tiles": clear**TRUST,
            "ahead_in_tiles": split.average(split.map(ahead), shares),
            "between_tiles": moves_of(self.lists, dtype),
        }
        return tables._replace(plan={**plan, "start": self._start(tables.D[0], shares)})

    def _start(self, belief: jax.Array, shares: jax.Array) -> dict[str, jax.Array]:
        """The belief at the beginning, in two levels, for one agent."""
        split = self.split
        cells = split.map(belief[None])[0]
        inner = cells[split.margin :, split.margin :][: shares.shape[0], : shares.shape[1]]
        tiles = inner.reshape(split.rows, TILE, split.columns, TILE).sum((1, 3)).reshape(-1, 1)
        corner = _place(_covered(tiles.reshape(split.rows, split.columns, 1)))
        window = windows(inner[None], corner * TILE, split.side)[0]
        outside = jnp.where(self._within(corner), 0, tiles)
        return {"window": window, "tiles": outside, "corner": corner}

    def blank(self, tables: Tables, lanes: int) -> MindState:
        """A block of agents that have seen nothing yet."""
        state = super().blank(tables, lanes)
        del state["belief"]
        for name, leaf in tables.plan["start"].items():
            state[name] = jnp.repeat(leaf, lanes, axis=-1)
        return state

    def renew(self, tables: Tables, state: MindState, fresh: jax.Array) -> MindState:
        """Agents that begin an episode, [lanes], expect what is expected at the beginning."""
        start = tables.plan["start"]
        begun = {name: jnp.where(fresh, leaf, state[name]) for name, leaf in start.items()}
        return {**state, **begun}

    def think(
        self,
        tables: Tables,
        state: MindState,
        seen: jax.Array,
        chance: jax.Array,
        alive: jax.Array,
    ) -> Thought:
        """One tick of a block; see `Mind`."""
        decided = self.decide(tables, state, seen, chance)
        return Thought(
            self.follow(tables, state, decided, decided.actions[0]),
            decided.actions,
            decided.info,
            Counts(),
        )

    def decide(
        self, tables: Tables, state: MindState, seen: jax.Array, chance: jax.Array
    ) -> Decided:
        """Take in what is seen, look ahead, and choose."""
        split, plan = self.split, tables.plan
        maps = windows(plan["maps"], state["corner"] * TILE, split.reach)
        window, tiles, free_energy = self._infer(tables, state, maps, seen)
        ahead = self._ahead(window, maps)
        beliefs = jnp.stack([ahead[each] for level in self.sequences for each in level])
        expected = _contracted(maps[: self._rows], beliefs)
        expected = expected.reshape(self.linear.rows, -1) + jnp.dot(
            plan["ahead_in_tiles"], tiles, precision=jax.lax.Precision.HIGHEST
        )
        neg_efe = self.linear.worth(0, expected, state.get("preferences", tables.C))
        likely = policy_posterior(neg_efe, state.get("precision", tables.gamma), tables.habit)
        actions = choose(self.model, tables, likely, chance)
        info = {"free_energy": free_energy, "expected_free_energy": -(likely * neg_efe).sum(0)}
        return Decided(actions, info, ahead, tiles, maps[-1])

    def follow(
        self, tables: Tables, state: MindState, decided: Decided, action: jax.Array
    ) -> MindState:
        """Expect what comes of an action, [lanes]."""
        moved = decided.ahead[self.sequences[0][0]]
        for sequence in self.sequences[0]:
            moved = jnp.where(action == sequence[0], decided.ahead[sequence], moved)
        tiles = move(self.lists, tables.plan["between_tiles"], decided.tiles, action)
        after = self._exchange(moved, tiles, state["corner"], decided.shares, tables.plan["shares"])
        return {**state, **after}

    @property
    def _rows(self) -> int:
        """How many rows of the maps say what is seen."""
        return sum(self.model.observations) + len(self.model.observations)

    def _infer(
        self, tables: Tables, state: MindState, maps: jax.Array, seen: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Take in an observation; the window comes back with its margins, [cells, N].

        As in `infer`, no probability below `FLOOR` is expected where an agent may be, so that it
        finds its way back from what it took to be impossible.
        """
        split, plan = self.split, tables.plan
        inner = slice(split.margin, split.margin + split.side)
        free = maps[-1].reshape(split.reach, split.reach, -1)[inner, inner] > 0
        cells = state["window"].reshape(split.side, split.side, -1)
        cells = jnp.where(free, at_least(cells), cells)
        margin = (split.margin, split.margin)
        window = jnp.pad(cells, (margin, margin, (0, 0))).reshape(split.reach**2, -1)
        outside = ~self._within(state["corner"])
        tiles = jnp.where(outside, jnp.maximum(state["tiles"], plan["least_in_tiles"]), 0)
        here = _in_tiles(cells)
        sure = here.sum((0, 1)) > SURE
        clear, dim = plan["seen_in_tiles"], plan["dimly_seen_in_tiles"]
        of_tiles = jnp.where(plan["least_in_tiles"] > 0, jnp.ones_like(tiles), 0)
        scales = jnp.zeros_like(tiles[0]), jnp.zeros_like(tiles[0])
        offset = 0
        for m, many in enumerate(self.model.observations):
            rows = slice(offset, offset + many)
            told = chosen(clear[rows], seen[m], 2), chosen(dim[rows], seen[m], 2)
            window, of_window = _scaled(window * _picked(maps[rows], seen[m]))
            of_tiles, of_rest = _scaled(of_tiles * jnp.where(sure, *told))
            scales = scales[0] + of_window, scales[1] + of_rest
            offset += many + 1
        tiles = tiles * of_tiles
        fitting, rest = window.sum(0), tiles.sum(0)
        # What fits in some cell of the window fits better than any average can.
        # So as long as an agent may well be elsewhere, the window counts as tiles do.
        average = (here * self._of_window(of_tiles, state["corner"])).sum((0, 1))
        within = jnp.where(sure, jnp.log(fitting) + scales[0], jnp.log(average) + scales[1])
        beyond = jnp.log(rest) + scales[1]
        # Both shares come of one difference, so that they add up to 1.
        window = window * (jax.nn.sigmoid(within - beyond) / _divisor(fitting))
        tiles = tiles * (jax.nn.sigmoid(beyond - within) / _divisor(rest))
        return window, tiles, -jnp.logaddexp(within, beyond)

    def _ahead(self, window: jax.Array, maps: jax.Array) -> dict[tuple[int, ...], jax.Array]:
        """The window after each sequence of actions that a policy begins with, [cells, N]."""
        grid, many = self.split.grid, self.split.reach
        rows, columns = np.divmod(np.arange(many**2), many)
        ahead: dict[tuple[int, ...], jax.Array] = {(): window}
        for sequence in (each for level in self.sequences for each in level):
            before, action = ahead[sequence[:-1]], sequence[-1]
            down, right = grid.moves[action]
            if (down, right) == (0, 0):
                ahead[sequence] = before
                continue
            row, column = rows - down, columns - right
            inside = (row >= 0) & (row < many) & (column >= 0) & (column < many)
            source = np.where(inside, row * many + column, 0)
            leaves = before * maps[self._rows + action]
            comes = leaves[source] * jnp.asarray(inside, before.dtype)[:, None]
            ahead[sequence] = before + (1 - grid.slip) * (comes - leaves)
        return ahead

    def _exchange(
        self,
        window: jax.Array,
        tiles: jax.Array,
        corner: jax.Array,
        shares: jax.Array,
        everywhere: jax.Array,
    ) -> MindState:
        """Let probability cross the window's edge, and the window go to where it covers most.

        Args:
            window: The cells with their margins, after the move, [reach², N].
            tiles: The tiles after the move, [tiles, N].
            corner: Where the window is, in tiles, [2, N].
            shares: Which share of its tile a cell of the window has, with margins, [reach², N].
            everywhere: The same of all cells, [rows × TILE, columns × TILE].
        """
        split = self.split
        cells = window.reshape(split.reach, split.reach, -1)
        # What has left the window goes to the tile it is in.
        wide = jnp.pad(cells, ((TILE - split.margin,) * 2,) * 2 + ((0, 0),))
        near = _in_tiles(wide)
        # What has come into the window from outside is spread over the tile it has come to.
        came = self._of_window(tiles, corner)
        inner = slice(split.margin, split.margin + split.side)
        share = shares.reshape(split.reach, split.reach, -1)[inner, inner]
        cells = cells[inner, inner] + share * _enlarged(came)
        near = near + jnp.pad(came, ((1, 1), (1, 1), (0, 0)))
        mass = jnp.where(self._within(corner), 0, tiles) + self._around(near, corner)
        # The window moves.
        covered = _covered(mass.reshape(split.rows, split.columns, -1))
        flat = covered.reshape(-1, covered.shape[-1])
        here = _of_each(flat, (corner[0] * covered.shape[1] + corner[1])[None])
        goes = flat.max(0) > here[0] + BETTER
        towards = jnp.where(goes, _place(covered), corner)
        kept = self._shifted(cells, (towards - corner) * TILE)
        fresh = windows(everywhere[None], towards * TILE, split.side)[0]
        entering = jnp.where(
            _enlarged(self._of_window(self._within(corner).astype(mass.dtype), towards)) > 0,
            0,
            _enlarged(self._of_window(mass, towards)),
        ).reshape(split.side**2, -1)
        return {
            "window": kept + fresh * entering,
            "tiles": jnp.where(self._within(towards), 0, mass),
            "corner": towards,
        }

    def _shifted(self, cells: jax.Array, by: jax.Array) -> jax.Array:
        """The window's cells as they lie in a window so many cells farther, [side², N]."""
        side = self.split.side
        rows = jnp.arange(side)[:, None, None] + by[0]
        columns = jnp.arange(side)[None, :, None] + by[1]
        inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        source = jnp.where(inside, rows * side + columns, 0).reshape(side**2, -1)
        values = _of_each(cells.reshape(side**2, -1), source)
        return jnp.where(inside.reshape(side**2, -1), values, 0)

    def _offsets(self, corner: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Where each tile lies, seen from the window's corner, [tiles, N]."""
        row, column = np.divmod(np.arange(self.split.tiles), self.split.columns)
        return jnp.asarray(row)[:, None] - corner[0], jnp.asarray(column)[:, None] - corner[1]

    def _within(self, corner: jax.Array) -> jax.Array:
        """Whether a tile is in the window, [tiles, N]."""
        down, right = self._offsets(corner)
        return (down >= 0) & (down < ACROSS) & (right >= 0) & (right < ACROSS)

    def _around(self, near: jax.Array, corner: jax.Array) -> jax.Array:
        """Sums of the window's tiles and those around it, given to all tiles, [tiles, N]."""
        down, right = self._offsets(corner)
        inside = (down >= -1) & (down <= ACROSS) & (right >= -1) & (right <= ACROSS)
        source = jnp.where(inside, (down + 1) * (ACROSS + 2) + right + 1, 0)
        flat = near.reshape((ACROSS + 2) ** 2, -1)
        return jnp.where(inside, _of_each(flat, source), 0)

    def _of_window(self, tiles: jax.Array, corner: jax.Array) -> jax.Array:
        """The tiles of the window, [ACROSS, ACROSS, N]."""
        steps = jnp.arange(ACROSS)
        rows = (steps[:, None] + corner[0]) * self.split.columns
        source = rows[:, None] + (steps[:, None] + corner[1])[None]
        flat = source.reshape(ACROSS**2, -1)
        return _of_each(tiles, flat).reshape(source.shape)

    def whole(self, tables: Tables, state: MindState) -> jax.Array:
        """The belief about every cell, [cells, N]: what lies in a tile, evenly over it."""
        split = self.split
        tiles = state["tiles"].reshape(split.rows, split.columns, -1)
        cells = tables.plan["shares"][..., None] * _enlarged(tiles)

        def put(world: jax.Array, window: jax.Array, corner: jax.Array) -> jax.Array:
            square = window.reshape(split.side, split.side)
            return jax.lax.dynamic_update_slice(world, square, (corner[0] * TILE, corner[1] * TILE))

        cells = jax.vmap(put, in_axes=(2, 1, 1), out_axes=2)(
            cells, state["window"], state["corner"]
        )
        inside = cells[: split.grid.height, : split.grid.width]
        return inside.reshape(split.grid.states, -1)


def _sequences(planner: LinearPlanner) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The sequences of actions that the planner's rows are of, level by level."""
    levels: list[tuple[tuple[int, ...], ...]] = [((),)]
    for level in planner.levels[0]:
        before = levels[-1]
        levels.append(
            tuple((u, *before[rest]) for u, rest in zip(level.first, level.rest, strict=True))
        )
    return tuple(levels[1:])


def _picked(rows: jax.Array, number: jax.Array) -> jax.Array:
    """Of each agent the row of that number, of [n, cells, N]."""
    result = rows[0]
    for each in range(1, rows.shape[0]):
        result = jnp.where(number == each, rows[each], result)
    return result


def _scaled(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weights with 1 as their greatest, and the logarithm of what it was, [N].

    So a product of many is never 0 throughout, however unlikely all of it is.
    """
    most = _divisor(weights.max(0))
    return weights / most, jnp.log(most)


def _divisor(total: jax.Array) -> jax.Array:
    """What is not 0 itself, else 1."""
    return jnp.where(total > 0, total, 1)


def _of_each(rows: jax.Array, which: jax.Array) -> jax.Array:
    """Of each agent its own rows, of [n, N] those numbered in [m, N]."""
    many = rows.shape[-1]
    lanes = np.arange(many, dtype=np.int32)
    return rows.reshape(-1).at[which * many + lanes].get(mode="promise_in_bounds")


def _contracted(rows: jax.Array, beliefs: jax.Array) -> jax.Array:
    """Rows [r, cells, N] times beliefs [b, cells, N], of each agent apart, [b, r, N].

    Cell by cell: a product of matrices would want each agent's numbers side by side.
    """

    def add(cell: jax.Array, total: jax.Array) -> jax.Array:
        return total + rows[:, cell][None] * beliefs[:, cell][:, None]

    nothing = jnp.zeros((beliefs.shape[0], rows.shape[0], rows.shape[2]), rows.dtype)
    result: jax.Array = jax.lax.fori_loop(0, rows.shape[1], add, nothing)
    return result


def _enlarged(tiles: jax.Array) -> jax.Array:
    """Give each cell what its tile has, [rows, columns, N] to [rows × TILE, columns × TILE, N]."""
    return tiles.repeat(TILE, axis=0).repeat(TILE, axis=1)


def _in_tiles(cells: jax.Array) -> jax.Array:
    """Sums of whole tiles, [rows × TILE, columns × TILE, N] to [rows, columns, N]."""
    rows, columns = cells.shape[0] // TILE, cells.shape[1] // TILE
    return cells.reshape(rows, TILE, columns, TILE, -1).sum((1, 3))


def _covered(mass: jax.Array) -> jax.Array:
    """What a window covers at each place, tiles in its middle counting more, [rows, columns, N]."""
    weights = [min(place + 1, ACROSS - place) / ((ACROSS + 1) // 2) for place in range(ACROSS)]
    for axis in (0, 1):
        many = mass.shape[axis] - ACROSS + 1
        parts = [
            weight * jax.lax.slice_in_dim(mass, place, place + many, axis=axis)
            for place, weight in enumerate(weights)
        ]
        mass = jnp.stack(parts).sum(0)
    return mass


def _place(covered: jax.Array) -> jax.Array:
    """Where a window covers most, the first of equals, [2, N]."""
    flat = covered.reshape(-1, covered.shape[-1])
    # Twice as quick as argmax on a processor.
    numbers = np.arange(flat.shape[0], dtype=np.int32)[:, None]
    best = jnp.where(flat == flat.max(0), numbers, flat.shape[0]).min(0)
    return jnp.stack(jnp.divmod(best, covered.shape[1])).astype(jnp.int32)
