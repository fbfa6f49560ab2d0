"""What is odd about a model is found, and what is not odd is left in peace."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hocket.population.checks import Remark, inspect, links, reached
from hocket.population.model import Model, Names
from hocket.population.transitions import Dense, Grid, Lists, Transition

CELLS = 100


def map_of(height: int = 10, width: int = 10) -> np.ndarray:
    """A map whose observations tell something: nothing, goal, hazard."""
    seen = np.zeros((3, height * width))
    seen[0] = 1
    seen[:, 3] = [0, 1, 0]
    seen[:, 5] = [0.2, 0, 0.8]
    return seen


def said(model: Model) -> list[str]:
    return [f"{remark.kind}: {remark.message}" for remark in inspect(model)]


def test_a_sound_model_has_no_remarks() -> None:
    assert inspect(Model.of([map_of()], [Grid(10, 10, slip=0.1)], [[0, 2, -2]])) == []


def test_the_explorer_whose_observations_say_nothing_is_an_error() -> None:
    # The explorer of FreeAgentics: 100 columns, all alike.
    seen = np.tile(np.array([[0.6], [0.1], [0.1], [0.1], [0.1]]), (1, CELLS))
    remarks = inspect(Model.of([seen], [Grid(10, 10)], [[0, 0, 1, 0, 0]]))
    assert remarks == [
        Remark(
            "error",
            ("A", 0),
            "observations of modality 0 carry no information: they are as likely in every state",
            "let the probabilities of A differ from state to state",
        )
    ]


def test_a_likelihood_that_is_still_to_be_learned_is_only_a_warning() -> None:
    seen = np.full((2, 4), 0.5)
    model = Model.of([seen], [Grid(2, 2)], [[0, 1]], pA=[seen])
    assert said(model)[0].startswith("warning: observations of modality 0 carry no information")


@pytest.mark.parametrize("kind", ["table", "lists", "grid"])
def test_actions_that_all_do_the_same_are_an_error(kind: str) -> None:
    grid = Grid(10, 10, moves=((0, 1), (0, 1)), slip=0.2)
    move = {"table": grid.dense(), "lists": grid.lists(), "grid": grid}[kind]
    errors = [line for line in said(Model.of([map_of()], [move], [[0, 1, 0]])) if "error" in line]
    assert errors == ["error: actions have no effect on factor 0: all 2 do the same"]


def test_lists_in_another_order_do_the_same() -> None:
    following = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 1]], [[0, 0], [1, 1]]])
    weight = np.array(
        [[[0.25, 0.75], [0.5, 0.5]], [[0.75, 0.25], [0.5, 0.5]], np.full((2, 2), 0.5)]
    )
    model = Model.of([np.eye(2)], [Lists(following, weight)], [[0, 1]])
    assert "warning: actions of factor 0 do the same: 0, 1" in said(model)


def test_names_are_used() -> None:
    names = Names(
        factors=("place",),
        states=(("a", "b", "c"),),
        actions=(("wait", "rest", "go"),),
        modalities=("smell",),
        observations=(("none", "food"),),
    )
    stay, go = np.eye(3), np.array([[0, 0, 0], [1, 1, 0], [0, 0, 1.0]])
    model = Model.of(
        [np.array([[1, 1, 1], [0, 0, 0]]) * 1.0],
        [np.stack([stay, stay, go], axis=-1)],
        D=[[1, 0, 0]],
        names=names,
    )
    text = "\n".join(said(model))
    assert "factor 'place' do the same: 'wait', 'rest'" in text
    assert "1 of 3 states of factor 'place' can never be reached" in text
    assert "never be left, whatever is done: 'b', 'c'" in text
    assert "modality 'smell' carry no information" in text


def test_observations_that_never_occur() -> None:
    seen = np.vstack([map_of(), np.zeros((2, CELLS))])
    model = Model.of([seen], [Grid(10, 10)], [[0, 1, 0, 0, 0]])
    assert said(model) == ["warning: observations of modality 0 never occur: 3, 4"]


def test_a_factor_that_a_table_does_not_depend_on() -> None:
    seen = np.repeat(map_of()[:, :, None], 2, axis=2)
    keep = np.eye(2)[:, :, None]
    model = Model.of([seen], [Grid(10, 10), keep], [[0, 1, 0]])
    assert said(model) == ["warning: modality 0 is the same in every state of factor 1"]
    alone = Model.of([map_of()], [Grid(10, 10), keep], [[0, 1, 0]], A_dependencies=[[0]])
    assert said(alone) == ["warning: nothing depends on factor 1"]


def test_context_that_stays_is_not_odd() -> None:
    seen = np.array([[0.9, 0.2], [0.1, 0.8]])
    walk = np.stack([np.eye(2), np.eye(2)[::-1]], axis=-1)
    joint = np.einsum("oc,sc->osc", seen, np.ones((2, 2)))
    joint[:, 0] = joint[::-1, 0]
    assert said(Model.of([joint], [walk, np.eye(2)[:, :, None]], [[0, 1]])) == []


def test_preferences_policies_and_habits() -> None:
    model = Model.of(
        [map_of()],
        [Grid(10, 10)],
        policies=[[[0]], [[1]], [[0]], [[2]]],
        E=[0.5, 0.25, 0.25, 0],
    )
    assert said(model) == [
        "warning: no policy takes these actions of factor 0: 3, 4",
        "warning: nothing is wanted: all observations are preferred alike",
        "warning: habits rule 1 of 4 policies out: 3",
        "warning: 1 policies are there twice: 2",
    ]
    off = Model.of([map_of()], [Grid(10, 10)], [[0, 1, 0]], utility=False, state_information=False)
    assert said(off) == [
        "warning: preferences count for nothing, since utility is off",
        "warning: nothing tells policies apart but habits: utility and information are off",
    ]


def test_preferences_that_change_with_time_alone_want_nothing() -> None:
    rising = np.tile(np.arange(2.0), (3, 1))
    model = Model.of([map_of()], [Grid(10, 10)], [rising], policy_length=2)
    assert said(model) == ["warning: nothing is wanted: all observations are preferred alike"]


def walled() -> Grid:
    walls = np.zeros((100, 100), bool)
    walls[50] = True
    walls[[9, 11], 10] = walls[10, [9, 11]] = True
    return Grid(100, 100, slip=0.1, walls=walls)


@pytest.mark.parametrize("kind", ["grid", "lists"])
def test_unreachable_cells_of_a_large_grid_are_found_without_a_table(kind: str) -> None:
    grid = walled()
    move: Transition = grid if kind == "grid" else grid.lists()
    begin = np.zeros(10_000)
    begin[0] = 1
    lines = said(Model.of([map_of(100, 100)], [move], [[0, 1, 0]], [begin]))
    # Below the wall 49 rows, and the one cell that is walled in.
    inside, walls = 49 * 100 + 1, 100 + 4
    lost = inside if kind == "grid" else inside + walls
    assert lines[0].startswith(
        f"warning: {lost:,} of 10,000 states of factor 0 can never be reached"
    )


def test_what_can_be_reached_agrees_with_powers_of_the_table() -> None:
    chance = np.random.default_rng(5)
    for _ in range(30):
        states = int(chance.integers(1, 7))
        table = np.zeros((states, states, 2))
        for start in range(states):
            for action in range(2):
                table[chance.integers(states), start, action] = 1
        begin = chance.random(states) < 0.3
        step = (table.sum(axis=2) > 0) | np.eye(states, dtype=bool)
        wanted = np.linalg.matrix_power(step.astype(int), states) @ begin > 0
        for move in (Dense(table), Lists.of_table(table)):
            assert np.array_equal(reached(*links(move, 0), begin), wanted)


def test_other_factors_may_open_a_way() -> None:
    # A door that lets through when it is open, which is the second state of the other factor.
    table = np.zeros((2, 2, 2, 1))
    table[0, 0, 0] = table[1, 0, 1] = table[1, 1, :] = 1
    start, following = links(Dense(table), 0)
    assert reached(start, following, np.array([True, False])).all()


def test_beginning_in_a_wall_is_odd() -> None:
    grid = Grid(2, 2, walls=np.array([[False, True], [False, False]]))
    model = Model.of([np.array([[1, 0, 0, 0], [0, 1, 1, 1.0]])], [grid], [[0, 1]])
    assert said(model) == ["warning: agents may begin inside a wall of factor 0: 1 cells"]


def test_a_cell_that_cannot_be_left_is_odd_and_a_wall_is_not() -> None:
    walls = np.zeros((3, 3), bool)
    walls[[0, 1, 1, 2], [1, 0, 2, 1]] = True
    seen = np.array([[1.0] * 9, [0.0] * 9])
    seen[:, 4] = [0, 1]
    grid = Grid(3, 3, walls=walls)
    free = np.where(walls.reshape(-1), 0, 1 / 5)
    assert said(Model.of([seen], [grid], [[0, 1]], [free])) == [
        "error: actions have no effect on factor 0: all 5 do the same"
    ]
    wide = Grid(3, 4, walls=np.pad(walls, ((0, 0), (0, 1))))
    seen = np.insert(seen, [3, 6, 9], 0.5, axis=1)
    free = np.where(np.asarray(wide.walls).reshape(-1), 0, 1.0)
    lines = said(Model.of([seen], [wide], [[0, 1]], [free / free.sum()]))
    assert lines == [
        "warning: 3 of 12 states of factor 0 can never be left, whatever is done: 0, 5, 8"
    ]


def test_models_are_checked_and_read_without_jax() -> None:
    program = (
        "import sys; from hocket.population import Model, inspect, load_model, parse_gmn, to_gmn; "
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
