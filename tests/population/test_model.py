"""A model is checked as it is made: every mistake is named, with what to do about it."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.errors import SpecError
from hocket.population.model import Model, Names
from hocket.population.policies import every_policy, sampled_policies
from hocket.population.transitions import Grid, Lists

THREE = np.eye(3)
TURN = np.stack([THREE, np.roll(THREE, 1, axis=0)], axis=-1)
SEEN = np.array([[0.7, 0.2, 0.1], [0.3, 0.8, 0.9]])


def problems(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        Model.of(*args, **kwargs)
    assert all(problem.message for problem in caught.value.problems)
    return list(caught.value.lines)


def test_a_model_has_what_is_given_and_defaults_for_the_rest() -> None:
    model = Model.of([SEEN], [TURN], policy_length=2, gamma=3, inference="exact")
    assert (model.states, model.observations, model.actions) == ((3,), (2,), (2,))
    assert model.horizon == 2 and model.controlled == (0,)
    assert model.gamma == 3.0 and model.selection == "deterministic"
    assert model.A_dependencies == ((0,),) and model.B_dependencies == ((0,),)
    assert np.array_equal(model.C[0], [0, 0]) and np.allclose(model.D[0], 1 / 3)
    assert np.allclose(model.E, 1 / 4)


def test_several_factors_with_dependencies_have_the_shapes_that_these_say() -> None:
    table = np.full((2, 2, 3, 2), 0.5)
    seen = np.full((4, 3, 2), 0.25)
    model = Model.of(
        [seen, seen[:, :, 0]],
        [TURN, table],
        A_dependencies=[[0, 1], [0]],
        B_dependencies=[[0], [1, 0]],
    )
    assert model.actions == (2, 2) and len(model.policies) == 4
    lines = problems(
        [seen, seen],
        [TURN, table],
        A_dependencies=[[1, 0], [0]],
        B_dependencies=[[0], [0, 1]],
    )
    assert [line.split(":")[0] for line in lines] == ["B.1", "A.0", "A.1"]
    assert "(any, 2, 3) is wanted: [observation, factor 1, factor 0]" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([SEEN * 0.9], [TURN]), "A.0.column 0: sums to 0.9, not to 1; divide each column"),
        (([SEEN.T], [TURN[:2, :2]]), "A.0.column 1: sums to 2, not to 1"),
        (([SEEN], [TURN * np.nan]), "B.0.[0,0,0]: is NaN; give a finite number"),
        (([SEEN], [np.where(TURN > 0, np.inf, 0)]), "B.0.[0,0,0]: is infinite"),
        (([SEEN - 0.15], [TURN]), "A.0.[0,2]: is -0.05, and no probability is negative"),
        (([], []), "B: is empty; give a transition for each state factor"),
        ((SEEN, [TURN]), "A: is one array of shape (2, 3); give a list"),
        (([SEEN], [THREE]), "B.0: has shape (3, 3); B of a factor is [next, from, action]"),
        (([[[1, 0], [0]]], [TURN]), "A.0: is no array of numbers but a list of 2"),
        (([SEEN], ["move"]), "B.0: is no array of numbers but a str"),
        (([np.zeros((0, 3))], [TURN]), "A.0: is empty: its shape is (0, 3)"),
        (([SEEN], [TURN], [[1, 2, 3]]), "C.0: has shape (3,), and (2) is wanted"),
        (([SEEN], [TURN], [[1, np.nan]]), "C.0.[1]: is NaN"),
        (([SEEN], [TURN], [[1, 2], [3, 4]]), "C: has 2 arrays, and there are 1 of modality"),
        (([SEEN], [TURN], np.ones((2, 2))), "C: is one array of shape (2, 2)"),
        (([SEEN], [TURN], [np.ones((2, 3))]), "(2, 1) is wanted: [observation, step ahead]"),
        (([SEEN], [TURN], None, [[1, 0]]), "D.0: has shape (2,), and (3) is wanted: [state]"),
        (([SEEN], [TURN], None, [[1, 1, 0]]), "D.0: sums to 2, not to 1"),
        (([SEEN], [TURN], None, None, [1]), "E: has shape (1,), and (2) is wanted: [policy]"),
        (([SEEN], [TURN], None, None, [1, 1]), "E: sums to 2"),
        (([np.full((2, 4), 0.5)], [Grid(2, 2, slip=1.5)]), "B.0.slip: is 1.5"),
        (([np.full((2, 4), 0.5)], [Grid(2, 2, slip=np.nan)]), "B.0.slip: is nan"),
        (([np.full((2, 4), 0.5)], [Grid(2, 2, moves=())]), "B.0.moves: is empty"),
        (([np.full((2, 4), 0.5)], [Grid(2, 2, walls=np.ones((2, 2), bool))]), "fill the whole"),
        (([np.full((2, 4), 0.5)], [Grid(2, 2, walls=np.zeros((3, 2), bool))]), "has shape (3, 2)"),
        (([np.full((2, 4), 0.5)], [Grid(0, 4)]), "B.0.height: is 0"),
    ],
)
def test_what_is_wrong_with_arrays_is_said(arguments: tuple[Any, ...], said: str) -> None:
    lines = problems(*arguments)
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gama": 1}, "gama: is no setting of a model; did you mean 'gamma'?"),
        ({"gamma": 0}, "gamma: is 0; give a finite number greater than 0"),
        ({"gamma": float("nan")}, "gamma: is nan"),
        ({"alpha": -1}, "alpha: is -1"),
        ({"inference": "exakt"}, "inference: is 'exakt'; did you mean 'exact'?"),
        ({"iterations": 0}, "iterations: is 0; give a whole number from 1"),
        ({"window": 3}, 'window: is 3, and "fpi" has no past; use inference="vmp"'),
        ({"utility": 1}, "utility: is 1; give True or False"),
        ({"parameter_information": True}, "needs what is learned of A or B; give pA or pB"),
        ({"policy_length": 0}, "policy_length: is 0"),
        ({"policies": [[[2]]]}, "policies.0.step 0.factor 0: takes action 2 of 2"),
        ({"policies": [[0]]}, "policies: has shape (1, 1), and (any, any, 1) is wanted"),
        ({"policies": np.zeros((0, 1, 1))}, "at least one policy"),
        ({"policies": [[[0.5]]]}, "no whole numbers"),
        ({"pA": [THREE]}, "pA.0: has shape (3, 3), and (2, 3) is wanted"),
        ({"pA": [-SEEN]}, "pA.0.[0,0]: is -0.7, and no Dirichlet parameter is negative"),
        ({"pB": [TURN * 0]}, "pB.0.column 0,0: has no positive Dirichlet parameter"),
        ({"pD": [[np.inf, 1, 1]]}, "pD.0.[0]: is infinite"),
        ({"A_dependencies": [[1]]}, "A_dependencies.0: names factor 1, and there are 1"),
        ({"A_dependencies": [[]]}, "A_dependencies.0: is empty"),
        ({"A_dependencies": [[0], [0]]}, "A_dependencies: has 2 lists, and 1 are wanted"),
        ({"A_dependencies": [[0, 0]]}, "names a factor twice"),
        ({"B_dependencies": [[]]}, "B_dependencies.0: lacks factor 0 itself"),
        ({"names": Names(factors=("a", "b"))}, "names.factors: there are 2 names for 1"),
        ({"names": Names(factors=("",))}, "names.factors: '' is no name"),
        ({"names": Names(states=(("a", "a", "b"),))}, "names.states.0: 'a' is there twice"),
    ],
)
def test_what_is_wrong_with_settings_is_said(settings: dict[str, Any], said: str) -> None:
    lines = problems([SEEN], [TURN], **settings)
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (Grid(10**6, 10**6), r"B\.0: has 1,000,000,000,000 cells, .*; make the grid smaller"),
        (Grid("a", 5), r"B\.0\.height: is 'a', .*; give a whole number"),  # type: ignore[arg-type]
        (Grid(2, None), r"B\.0\.width: is None, .*; give a whole number"),  # type: ignore[arg-type]
        (Grid(2, 2, slip=None), r"slip: is None, and no probability; give"),  # type: ignore[arg-type]
        (Grid(2, 2, slip=float("nan")), r"slip: is nan, and no probability; give"),
        (Grid(2, 2, moves=None), r"moves: is a NoneType, .*; write \(rows"),  # type: ignore[arg-type]
        (Grid(2, 2, moves=((1, [2]),)), r"moves\.0: is \(1, \[2\]\), and no move; write"),  # type: ignore[arg-type]
        (Grid(2, 2, moves=(3,)), r"moves\.0: is 3, and no move; write"),  # type: ignore[arg-type]
        (Grid(2, 2, walls=[[0], [0, 1]]), r"walls: is no array of numbers .*; give"),  # type: ignore[arg-type]
        (Grid(2, 2, walls=[["a"]]), r"walls: is no array of numbers .*; give"),  # type: ignore[arg-type]
        (Lists([[0], [0, 1]], [[1]]), r"B\.0\.next: is no array of numbers .*; give"),  # type: ignore[arg-type]
        (Lists(np.zeros((1, 1, 1), int), "a"), r"weight: is no array of numbers .*; give"),  # type: ignore[arg-type]
        (Lists(np.zeros(3, int), np.zeros(3)), r"B\.0\.next: has shape \(3,\); give"),
    ],
)
def test_moves_that_cannot_be_are_refused_before_anything_is_made_of_them(
    move: Any, said: str
) -> None:
    lines = problems([SEEN], [move])
    assert re.search(said, lines[0]), lines


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"names": {"factors": ("a",)}}, r"^names: is a dict; give Names\(factors="),
        ({"names": "a"}, r"^names: is a str; give Names\("),
        ({"names": Names(factors=3)}, r"^names\.factors: is 3, and no list of names; give"),  # type: ignore[arg-type]
        ({"names": Names(factors="abc")}, r"^names\.factors: is 'abc', and no list .*; give"),  # type: ignore[arg-type]
        ({"names": Names(states=3)}, r"^names\.states: is 3, and no list of lists .*; give"),  # type: ignore[arg-type]
        ({"names": Names(states=(3,))}, r"^names\.states\.0: is 3, and no list .*; give"),  # type: ignore[arg-type]
        ({"gamma": 10**400}, r"^gamma: is 1.*; give a finite number"),
        ({"inference": ["fpi"]}, r"^inference: is \['fpi'\]"),
        ({"A_dependencies": [[[0]]]}, r"^A_dependencies\.0: names factor \[0\]"),
    ],
)
def test_what_is_of_another_kind_is_refused_in_words(settings: dict[str, Any], said: str) -> None:
    lines = problems([SEEN], [TURN], **settings)
    assert re.search(said, lines[0]), lines


def test_all_problems_come_at_once() -> None:
    lines = problems([SEEN * 2], [TURN * 3], [[1]], [[2, 0, 0]], gamma=-1)
    places = {line.split(".")[0].split(":")[0] for line in lines}
    assert places == {"A", "B", "C", "D", "gamma"}


def test_a_table_that_sums_along_the_wrong_axis_is_recognised() -> None:
    rows = np.array([[0.5, 0.5, 0], [0.2, 0.3, 0.5], [1, 0, 0]])
    assert "it sums to 1 along axis 1: that axis belongs first" in problems([rows], [TURN])[0]


def test_many_mistakes_of_one_kind_are_counted() -> None:
    lines = problems([np.ones((2, 3))], [TURN])
    assert len(lines) == 3
    lines = problems([np.ones((2, 4))], [Lists(np.zeros((1, 4, 1), int), np.ones((1, 4, 1)))])
    assert lines[-1].startswith("A.0: and 1 more columns that do not sum to 1")


def test_exact_inference_is_for_one_factor() -> None:
    lines = problems([np.full((2, 3, 3), 0.5)], [TURN, TURN], inference="exact")
    assert lines == [
        'inference: is exact for one factor, and there are 2; use "fpi" or "vmp", '
        "or join the factors into one"
    ]


def test_lists_of_next_states_are_checked() -> None:
    seen = np.full((2, 2), 0.5)
    good = Lists(np.array([[[0, 1], [1, 0]]]), np.array([[[0.5, 0.5], [1, 0]]]))
    assert Model.of([seen], [good]).states == (2,)
    far = Lists(np.array([[[0, 2], [1, 0]]]), good.weight)
    assert "B.0.next.[0,0,1]: is 2, and there are 2 states" in problems([seen], [far])[0]
    light = Lists(good.next, good.weight * 0.5)
    assert "B.0.weight.action and state 0,0: sums to 0.5" in problems([seen], [light])[0]
    short = Lists(good.next, good.weight[..., :1])
    assert "B.0.weight: has shape (1, 2, 1)" in problems([seen], [short])[0]
    both = [seen[:, :, None] * np.ones(2)]
    lines = problems(both, [good, good], B_dependencies=[[0, 1], [1]])
    assert "B.0: is a Lists, and depends on factors [0, 1]" in lines[0]


def test_room_for_a_table_is_asked_before_it_is_made() -> None:
    grid = Grid(100, 100)
    for large in (grid, grid.lists()):
        with pytest.raises(SpecError, match=r"would take 4\.0 GB.*keep it as `Grid` or `Lists`"):
            large.dense()
    # A view takes no memory; as 64-bit floats it would.
    view = np.broadcast_to(np.float32(1e-4), (10_000, 10_000, 5))
    assert "takes 4.0 GB" in problems([np.full((2, 10_000), 0.5)], [view])[0]
    assert (
        "every sequence of 30 of 5 joint actions"
        in problems([np.full((2, 4), 0.5)], [Grid(2, 2)], policy_length=30)[0]
    )
    with pytest.raises(SpecError, match="joint actions"):
        every_policy([10] * 12, 1)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3))
def test_every_policy_is_there_once_and_in_order(actions: list[int], length: int) -> None:
    joint = list(product(*(range(count) for count in actions)))
    wanted = list(product(joint, repeat=length))
    assert every_policy(actions, length).tolist() == [[list(s) for s in plan] for plan in wanted]


def test_sampled_policies_are_different_and_hold_each_action() -> None:
    plans = sampled_policies([5], 12, 40, seed=3)
    assert plans.shape == (40, 12, 1) and len(np.unique(plans, axis=0)) == 40
    assert all((plans == action).all(axis=(1, 2)).any() for action in range(5))
    assert np.array_equal(sampled_policies([2], 2, 40), every_policy([2], 2))


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.0, 0.25, 1.0]), st.randoms())
def test_a_grid_is_the_same_as_lists_and_as_a_table(
    height: int, width: int, slip: float, chance: Any
) -> None:
    walls = np.array([chance.random() < 0.3 for _ in range(height * width)]).reshape(height, width)
    walls[0, 0] = False
    grid = Grid(height, width, slip=slip, walls=walls)
    table = grid.dense()
    assert np.array_equal(Lists.of_table(table).dense(), table)
    assert np.array_equal(grid.lists().dense(), table)
    assert np.allclose(table.sum(axis=0), 1)
    seen = np.full((2, height * width), 0.5)
    assert Model.of([seen], [grid]).states == Model.of([seen], [table]).states


def test_lists_of_a_table_with_other_axes_are_refused() -> None:
    with pytest.raises(SpecError, match="not of shape"):
        Lists.of_table(np.eye(3))
