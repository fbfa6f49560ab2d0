"""GMN becomes the model that it says, and every mistake has its line."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from tests.population.gmn_texts import EXAMPLES, SMALL, random_model, same

from hocket.core.errors import Refused, SpecError
from hocket.population.gmn import parse_gmn, read_gmn, to_gmn
from hocket.population.model import Model, Names
from hocket.population.transitions import Grid, Lists


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_gmn(text, "x.gmn")
    return list(caught.value.lines)


def changed(*changes: tuple[str, str]) -> str:
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_a_small_model_is_what_it_says() -> None:
    model = parse_gmn(SMALL)
    assert model.names.factors == ("place",) and model.names.actions == (("stay", "go"),)
    assert model.names.states == (("home", "field"),)
    assert np.allclose(model.A[0], [[0.9, 0.1], [0.1, 0.9]])
    assert np.array_equal(model.table(0)[..., 0], np.eye(2))
    assert np.array_equal(model.table(0)[..., 1], np.eye(2)[::-1])
    assert model.C[0].tolist() == [0, 2] and model.D[0].tolist() == [1, 0]
    assert model.gamma == 4 and model.horizon == 2 and len(model.policies) == 4


def test_the_tmaze_is_that_of_the_book() -> None:
    model = parse_gmn((EXAMPLES / "tmaze.gmn").read_text(encoding="utf-8"))
    assert model.states == (4, 2) and model.observations == (5, 3) and model.actions == (4, 1)
    assert model.A_dependencies == ((0, 1), (0, 1)) and model.B_dependencies == ((0,), (1,))
    spot, taste = model.A
    assert spot[:, 3].T.tolist() == [[0, 0, 0, 0.95, 0.05], [0, 0, 0, 0.05, 0.95]]
    assert taste[:, 1].T.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert taste[:, 2].T.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert np.array_equal(model.table(0)[:, 1], np.eye(4)[:, [1] * 4])
    assert np.array_equal(model.table(0)[:, 0], np.eye(4))


def test_the_explorer_is_a_grid_that_has_never_been_a_table() -> None:
    reading = read_gmn((EXAMPLES / "explorer.gmn").read_text(encoding="utf-8"), "explorer.gmn")
    model = reading.model
    move = model.B[0]
    assert isinstance(move, Grid) and (move.height, move.width, move.slip) == (10, 10, 0.1)
    assert move.moves == ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
    assert move.walls is not None and move.walls.sum() == 9 and not move.walls[4, 5]
    assert np.allclose(model.A[0][:, 68], [0.1 / 3, 0.9, 0.1 / 3, 0.1 / 3])
    assert np.allclose(model.A[0][:, 5], [0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3])  # as all others
    assert model.D[0][0] == 1 and reading.remarks == ()


def test_json_says_the_same_as_text() -> None:
    text = (EXAMPLES / "thermostat.gmn.json").read_text(encoding="utf-8")
    model = parse_gmn(text)
    assert model.B_dependencies == ((0, 1), (1,)) and model.horizon == 3
    room = model.table(0)
    assert room[:, 0, 0, 1].tolist() == [0.1, 0.9, 0]  # cold, frost, heater on
    assert room[:, 1, 1, 0].tolist() == [0, 1, 0]  # right, mild, off: stays
    assert room[:, 1, 0, 0].tolist() == [1, 0, 0]
    assert np.allclose(model.table(1)[..., 0], [[0.95, 0.05], [0.05, 0.95]])
    assert np.allclose(model.A[0][0], [0.8, 0.1, 0.1])
    same(model, parse_gmn(to_gmn(model)))


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_written_is_read_again_number_for_number(form: str) -> None:
    chance = np.random.default_rng(11)
    for _ in range(25):
        model = random_model(chance)
        text = to_gmn(model, form)  # type: ignore[arg-type]
        again = parse_gmn(text)
        same(model, again)
        assert to_gmn(again, form) == text  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tmaze.gmn", "explorer.gmn", "thermostat.gmn.json"])
def test_examples_are_written_with_their_names(name: str) -> None:
    model = parse_gmn((EXAMPLES / name).read_text(encoding="utf-8"))
    again = parse_gmn(to_gmn(model, "json"))
    same(model, again)
    assert again.names == model.names


def test_grids_and_lists_stay_what_they_are() -> None:
    seen = np.eye(2)[:, [0, 1, 0, 0, 1, 1]]
    walls = np.zeros((2, 3), bool)
    walls[1, 1] = True
    for move in (Grid(2, 3, slip=0.25, walls=walls), Grid(2, 3, slip=0.25, walls=walls).lists()):
        same(model := Model.of([seen], [move], [[0, 1]]), parse_gmn(to_gmn(model)))


def test_names_that_mean_something_else_are_quoted() -> None:
    text = changed(("none, food", '"true", "1.5"'), ("{food: 2}", '{"1.5": 2}'))
    model = parse_gmn(text)
    assert model.names.observations == (("true", "1.5"),)
    assert parse_gmn(to_gmn(model)).names == model.names


def test_a_factor_and_a_modality_may_have_one_name() -> None:
    text = changed(("{names: [none, food]}", "{names: [none, food], label: place}"))
    model = parse_gmn(text)
    assert (model.names.factors, model.names.modalities) == (("place",), ("place",))
    assert parse_gmn(to_gmn(model)).names == model.names


def test_any_name_comes_back() -> None:
    odd = ("x" * 300, "with spaces", "{a: b}", "null", "é\n\u001b", "#", "->", "1")
    names = Names(factors=("y" * 300,), states=(odd,), modalities=("a -> b",), observations=(odd,))
    model = Model.of([np.eye(8)], [np.roll(np.eye(8), 1, axis=0)[:, :, None]], names=names)
    again = parse_gmn(to_gmn(model))
    for part in ("factors", "states", "modalities", "observations"):
        assert getattr(again.names, part) == getattr(names, part)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (
            "next: [[0, 1], [field, home]]",
            Lists(np.array([[[0], [1]], [[1], [0]]]), np.ones((2, 2, 1))),
        ),
        (
            "next: {go: [[home, field], 0], stay: [0, 1]}, "
            "weight: {stay: [1, 1], go: [[0.25, 0.75], 1]}",
            Lists(
                np.array([[[0, 0], [1, 0]], [[0, 1], [0, 0]]]),
                np.array([[[1, 0], [1, 0]], [[0.25, 0.75], [1, 0]]]),
            ),
        ),
    ],
)
def test_next_states_may_be_listed(values: str, wanted: Lists) -> None:
    start = SMALL.index("cases: [")
    end = SMALL.index("}\nwant")
    model = parse_gmn(SMALL[:start] + values + SMALL[end:])
    move = model.B[0]
    assert isinstance(move, Lists)
    assert np.array_equal(move.dense(), wanted.dense())


def test_policies_may_be_written_out_or_drawn() -> None:
    plans = "policies: [[go, go], [stay, [go]], [{move: go}, 0]]"
    written = parse_gmn(changed(("length: 2", plans)))
    assert written.policies[..., 0].tolist() == [[1, 1], [0, 1], [1, 0]]
    drawn = parse_gmn(changed(("length: 2", "length: 9, sampled: 20, seed: 4")))
    assert drawn.policies.shape == (20, 9, 1)
    habits = parse_gmn(changed(("length: 2", "habits: [0.75, 0.25]")))
    assert habits.E.tolist() == [0.75, 0.25]


def test_edges_may_go_the_way_that_others_write_them() -> None:
    there = ("nose -> place: depends_on", "walk -> move: depends_on")
    back = ("place -> nose: depends_on", "move -> walk: influences")
    same(parse_gmn(SMALL), parse_gmn(changed(*zip(there, back, strict=True))))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("state {", "sate {", "2:8: there is no node type 'sate'; did you mean 'state'?"),
        (
            "names: [home",
            "nams: [home",
            "2:15: 'nams' is no property of a state; did you mean 'names'?",
        ),
        ("gamma: 4", "gama: 4", "9:26: 'gama' is no property of a policy; did you mean 'gamma'?"),
        ("gamma: 4", "gamma: -4", "9:33: gamma: is -4; give a finite number greater than 0"),
        ("{food: 2}", "{fod: 2}", "7:28: 'smell' has no 'fod'; did you mean 'food'?"),
        ("at: home", "at: hoem", "8:20: 'place' has no 'hoem'; did you mean 'home'?"),
        (
            "values: identity",
            "values: identiti",
            "5:27: 'nose': 'identiti' is no table; did you mean",
        ),
        (
            "certainty: 0.9",
            "certainty: 9",
            "5:48: 'nose': certainty is 9; give a number from 0 to 1",
        ),
        ("{then: home}", "", "6:26: 'walk': no case fits place field, move go"),
        ("then: stays", "then: {home: 0.5, field: 0.6}", "6:54: these probabilities sum to 1.1"),
        ("when: {move: stay}", "when: {mov: stay}", "6:35: 'walk': does not depend on 'mov'"),
        ("nose -> place: depends_on", "", "5:1: 'nose' depends on no state"),
        ("nose -> smell: generates", "", "3:1: 'smell' has no likelihood; write"),
        ("walk -> place: updates", "", "2:1: 'place' has no transition; write"),
        ("walk -> move: depends_on", "", "4:1: action 'move' moves nothing"),
        ("-> smell: infl", "-> smel: infl", "16:1: there is no node 'smel'; did you mean 'smell'?"),
        ("smell: generates", "smell: genrates", "13:16: there is no edge type 'genrates'; did you"),
        (
            "nose -> smell: generates",
            "place -> smell: generates",
            "13:1: 'place' (state) -> 'smell'",
        ),
        ("move: action", "place: action", "4:1: there are two nodes 'place'"),
        ("[edges]", "[edgse]", "11:2: there is no section [edgse]; did you mean 'edges'?"),
        ("[nodes]", "", "2:1: nodes come after a line [nodes]"),
        ("{length: 2", "{length 2", "9:22: expected ':' after 'length', and here is '2'"),
        ("names: [home, field]", 'names: ["home, field]', "2:23: a quoted text has no end"),
        ("length: 2", "length: 0", "9:23: 0 is no whole number from 1 to 1,000"),
        ("length: 2", "policies: [[fly]]", "9:27: 'move' has no 'fly'; there are stay, go"),
        (
            "plan: policy",
            "ask: llm_query {}\nplan: policy",
            "9:1: node 'ask' asks a language model",
        ),
        (
            "values: identity, certainty: 0.9",
            "values: [[0.5, 0.4], [0.5, 0.5]]",
            "5:27: likelihood of 'smell': column field sums to 0.9, not to 1; divide",
        ),
        (
            "values: identity, certainty: 0.9",
            "values: [[0.5, nan], [0.5, 0.5]]",
            "5:34: 'nan' is no number",
        ),
        (
            "values: identity, certainty: 0.9",
            "values: [[0.5, 0.5]]",
            "5:27: 'nose': the table has shape (1, 2), and (2, 2) is wanted: [smell, place]",
        ),
        (
            "values: identity, certainty: 0.9",
            "values: uniform",
            "5:27: observations of modality 'smell' carry no information",
        ),
        ("when: {move: stay}, ", "", "6:26: actions have no effect on factor 'place'"),
        ("home, field]", "home, home]", "2:29: 'home' is there twice"),
        ("{names: [home, field]}", "{names: [home, field], size: 3}", "2:43: 'place' has 2 names"),
        (
            "identity, certainty: 0.9",
            "identity, dirichlet: [[1]]",
            "5:48: dirichlet of 'smell': has",
        ),
    ],
)
def test_each_mistake_has_its_line_and_a_hint(old: str, new: str, line: str) -> None:
    lines = mistakes(changed((old, new)))
    assert any(found.startswith(f"x.gmn:{line}") for found in lines), lines


def test_all_mistakes_of_a_text_come_at_once_in_its_order() -> None:
    lines = mistakes(
        changed(
            ("state {", "sate {"),
            ("smell: observation", "smell observation"),
            ("-> smell: infl", "-> smel: infl"),
            ("policy", "polcy"),
        )
    )
    places = [int(line.split(":")[1]) for line in lines]
    assert {2, 3, 9} <= set(places) and places == sorted(places)


def test_a_mistake_hides_no_other_one() -> None:
    """Numbers, names, settings, and what is of no use: each in a part of its own."""
    text = changed(
        ("identity, certainty: 0.9", "[[0.5, 0.9], [0.7, 0.1]]"),
        ("{food: 2}", "{xx: 2, yy: 3}"),
        ("{at: home}", "{at: hone}"),
        ("gamma: 4", "gamma: -1, inference: exakt, colour: red"),
        ("when: {move: stay}, ", ""),
    )
    said = [
        "x.gmn:5:27: likelihood of 'smell': column home sums to 1.2",
        "x.gmn:6:26: actions have no effect on factor 'place'",
        "x.gmn:7:28: 'smell' has no 'xx'",
        "x.gmn:7:35: 'smell' has no 'yy'",
        "x.gmn:8:20: 'place' has no 'hone'; did you mean 'home'",
        "x.gmn:9:33: gamma: is -1",
        "x.gmn:9:48: inference: is 'exakt'; did you mean 'exact'",
        "x.gmn:9:55: 'colour' is no property of a policy",
    ]
    lines = mistakes(text)
    assert len(lines) == len(said), lines
    assert all(map(str.startswith, lines, said)), lines


def test_what_follows_from_a_mistake_is_none() -> None:
    """What was meant is taken, or what depends on it is not judged."""
    text = changed(
        ("place: state", "place: sttae"),
        ("smell: observation {names: [none, food]}", "smell: observation {names: [none, none]}"),
        ("gamma: 4", "gama: 0"),
        ("walk -> move: dep", "walk -> mve: dep"),
    )
    said = [
        "x.gmn:2:8: there is no node type 'sttae'",
        "x.gmn:3:35: 'none' is there twice",
        "x.gmn:9:26: 'gama' is no property of a policy; did you mean 'gamma'",
        "x.gmn:9:32: gamma: is 0",
        "x.gmn:15:1: there is no node 'mve'; did you mean 'move'",
    ]
    lines = mistakes(text)
    assert [any(line.startswith(one) for line in lines) for one in said] == [True] * 5, lines
    assert len(lines) == len(said), lines


def test_warnings_have_lines_too() -> None:
    reading = read_gmn(changed(("{food: 2}", "{food: 0}")), "x.gmn")
    assert [(reading.place(r.where), r.message[:18]) for r in reading.remarks] == [
        ("x.gmn:7:27", "nothing is wanted:")
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "x.gmn:1:1: there is no state node"),
        ("{", "x.gmn:1:2: this is no JSON"),
        ('{"nodes": []}', "x.gmn:1:1: there is no list 'edges'"),
        ('{"nodes": [1], "edges": []}', "x.gmn:1:12: an item of 'nodes' is no object"),
        ('{"nodes": [{"id": "a"}], "edges": []}', "x.gmn:1:12: 'type' is missing, or no text"),
        ('{"nodes": [], "edges": [], "nods": 1}', "x.gmn:1:28: 'nods' is no key of GMN in JSON"),
        ('{"nodes": NaN, "edges": []}', "x.gmn:1:1: this is no JSON: NaN is no number"),
        ('{"nodes": ' + "[" * 50_000, "x.gmn:1:1: this is no JSON"),
        ('{"nodes": ' + "[" * 13 + "]" * 13 + ', "edges": []}', "x.gmn:1:23: lists are nested"),
    ],
)
def test_what_is_no_gmn_at_all_is_said(text: str, line: str) -> None:
    assert mistakes(text)[0].startswith(line)


def nodes(state: str, likelihood: str, transition: str, plan: str = "") -> str:
    return f"""[nodes]
s: state {{{state}}}
o: observation {{names: [x, y]}}
a: action {{names: [up, down, left, right, stay]}}
l: likelihood {{{likelihood}}}
t: transition {{{transition}}}
{plan}
[edges]
l -> s: depends_on
l -> o: generates
t -> s: updates
t -> a: depends_on
"""


CASES = "cases: [{when: {s: 1}, then: x}, {then: y}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda: "#" * 4_000_001, "the text is longer than 4,000,000 bytes"),
        (lambda: "[nodes]\n" + "a: state {names: [" + "b " * 200_001, "more than 200,000 values"),
        (lambda: "[nodes]\n" + "\n".join(f"a{i}: state" for i in range(1_001)), "1,000 nodes"),
        (
            lambda: nodes("size: 1000000", "values: uniform", "values: uniform"),
            "20,000,000 entries",
        ),
        (lambda: nodes("size: 1000001", CASES, "values: identity"), "no whole number from 1"),
        (lambda: nodes("grid: 2000x2000", CASES, "values: grid"), "more than 1,000,000 entries"),
        (
            lambda: nodes("grid: 3x3", CASES, "values: grid", "p: policy {length: 9}"),
            "100,000 policies",
        ),
        (lambda: nodes("grid: 3x3", CASES, "values: grid", "p: policy {length: 900}"), "100,000"),
        (
            lambda: nodes(
                "grid: 9x9", CASES, "values: grid", "p: policy {length: 99, sampled: 90000}"
            ),
            "too many policies of this length",
        ),
        (
            lambda: nodes("grid: 300x300", f"cases: [{'{then: x}' * 5_000}]", "values: grid"),
            "too many cases",
        ),
        (lambda: "[nodes]\n" + "x" * 101 + ": state", "more than 100 characters"),
        (lambda: "[nodes]\n" + "a b\n" * 100_000, "expected ':' and a type after 'a'"),
    ],
)
def test_a_text_cannot_ask_for_more_than_there_is_room_for(
    text: Callable[[], str], said: str
) -> None:
    lines = mistakes(text())
    assert len(lines) <= 40 and said in "\n".join(lines), lines


def test_a_message_harms_no_terminal() -> None:
    line = mistakes(changed(("home, field]", '"\\u001b[2Jhome", "\\u001b[2Jhome"]')))[0]
    assert line.isprintable()


def test_a_model_that_is_too_large_to_be_read_again_is_not_written() -> None:
    seen = np.full((2, 400), 0.5)
    seen[:, 0] = [0, 1]
    chance = np.random.default_rng(0)
    table = np.moveaxis(chance.dirichlet(np.ones(400), size=(400, 2)), -1, 0)
    with pytest.raises(Refused, match=r"save_model\(model, 'model.npz'\)"):
        to_gmn(Model.of([seen], [table]))
    with pytest.raises(Refused, match="no form 'yaml'"):
        to_gmn(parse_gmn(SMALL), "yaml")  # type: ignore[arg-type]


def test_json_is_json() -> None:
    document = json.loads(to_gmn(parse_gmn(SMALL), "json"))
    assert set(document) == {"nodes", "edges"}
    assert document["nodes"][0]["properties"] == {"names": ["home", "field"]}
