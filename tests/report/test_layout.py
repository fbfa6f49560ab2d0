"""Places of steps: nothing overlaps, every edge goes on a layer, and nothing is left to chance."""

from __future__ import annotations

import random
from itertools import combinations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.specs import AgentSpec, PlanSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec
from hocket.report.layering import BETWEEN, Layers, Size, arrange
from hocket.report.layout import STEP, Layout, layout_document, plan_layout
from hocket.workflows.panel import Panel, panel_step

AGENTS = {"a": AgentSpec(kind="function")}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Size], list[tuple[int, int]]]:
    count = draw(st.integers(1, 60))
    size = st.builds(Size, st.integers(20, 300), st.integers(20, 200))
    sizes = draw(st.lists(size, min_size=count, max_size=count))
    edge = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = {(min(pair), max(pair)) for pair in draw(st.lists(edge)) if pair[0] != pair[1]}
    return sizes, sorted(edges)


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    x, y, width, height = one
    left, top, wide, high = other
    return x < left + wide and left < x + width and y < top + high and top < y + height


def rects(layers: Layers, sizes: list[Size]) -> list[tuple[int, int, int, int]]:
    return [
        (x, y, size.width, size.height)
        for x, y, size in zip(layers.x, layers.y, sizes, strict=True)
    ]


@given(graphs())
def test_no_two_nodes_overlap_and_all_are_within(
    graph: tuple[list[Size], list[tuple[int, int]]],
) -> None:
    sizes, edges = graph
    layers = arrange(sizes, edges)
    found = rects(layers, sizes)
    assert not any(overlap(one, other) for one, other in combinations(found, 2))
    for x, y, width, height in found:
        assert x >= 0 and y >= 0
        assert x + width <= layers.width and y + height <= layers.height


@given(graphs())
def test_every_edge_goes_on_a_layer_and_to_the_right(
    graph: tuple[list[Size], list[tuple[int, int]]],
) -> None:
    sizes, edges = graph
    layers = arrange(sizes, edges)
    for since, until in edges:
        assert layers.layer[since] < layers.layer[until]
        assert layers.x[since] + sizes[since].width + BETWEEN <= layers.x[until]
    # A layer more than what leads there, and not one more.
    for node, layer in enumerate(layers.layer):
        before = [layers.layer[since] for since, until in edges if until == node]
        assert layer == max(before, default=-1) + 1


@given(graphs())
def test_trunks_go_through_no_node(graph: tuple[list[Size], list[tuple[int, int]]]) -> None:
    sizes, edges = graph
    layers = arrange(sizes, edges)
    found = rects(layers, sizes)
    last = {since: max(layers.layer[b] for a, b in edges if a == since) for since, _ in edges}
    for node, points in layers.trunks.items():
        assert len(points) == last[node] - layers.layer[node] - 1 > 0
        for x, y in points:
            assert not any(left <= x < left + w and top < y < top + h for left, top, w, h in found)


@given(graphs(), st.integers())
def test_the_same_graph_gives_the_same_places(
    graph: tuple[list[Size], list[tuple[int, int]]], seed: int
) -> None:
    sizes, edges = graph
    shuffled = list(edges)
    random.Random(seed).shuffle(shuffled)
    assert arrange(sizes, edges) == arrange(sizes, edges)
    assert arrange(sizes, sorted(shuffled)) == arrange(sizes, edges)


def test_a_chain_is_a_straight_line() -> None:
    layers = arrange([STEP] * 6, [(i, i + 1) for i in range(5)])
    assert set(layers.y) == {0}
    assert layers.height == STEP.height


def test_what_hangs_together_stands_together() -> None:
    # Two chains whose second steps are named in the other order: they do not cross.
    layers = arrange([STEP] * 4, [(0, 3), (1, 2)])
    assert layers.y[0] == layers.y[3] < layers.y[1] == layers.y[2]


def test_a_diamond_is_symmetrical() -> None:
    layers = arrange([STEP] * 4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert layers.y[0] == layers.y[3] == (layers.y[1] + layers.y[2]) // 2


def test_a_long_edge_has_a_lane_of_its_own() -> None:
    layers = arrange([STEP] * 4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    (points,) = layers.trunks.values()
    assert [x for x, _ in points] == layers.x[1:3]


def test_a_wide_layer_stands_in_columns() -> None:
    sizes = [STEP] * 400
    layers = arrange(sizes, [])
    assert set(layers.layer) == {0}
    assert layers.height < 3 * layers.width and layers.width < 3 * layers.height
    assert not any(overlap(*pair) for pair in combinations(rects(layers, sizes), 2))


def test_a_folded_layer_leaves_trunks_alone() -> None:
    count = 202
    edges = [(0, i) for i in range(1, 201)] + [(i, 201) for i in range(1, 201)] + [(0, 201)]
    layers = arrange([STEP] * count, edges)
    ((_, y),) = layers.trunks[0]
    assert y > max(layers.y[i] + STEP.height for i in range(1, 201))


def test_nothing_is_laid_out_of_nothing() -> None:
    assert arrange([], []).width == 0


# ---- plans ----


def step(name: str, *needs: str, **fields: object) -> StepSpec:
    return StepSpec(name=name, agent="a", needs=needs, **fields)  # type: ignore[arg-type]


def nested() -> PlanSpec:
    inner = PlanSpec(name="inner", steps=(step("x"), step("y", "x"), step("z", "x")))
    return PlanSpec(
        name="outer",
        steps=(
            step("first"),
            StepSpec(name="group", kind="plan", plan=inner, needs=("first",)),
            step("beside", "first"),
            step("last", "group", wants=("beside",)),
        ),
    )


def boxes(layout: Layout) -> dict[str, tuple[int, int, int, int]]:
    return {box.path: (box.x, box.y, box.width, box.height) for box in layout.boxes}


def test_nested_plans_are_groups_around_their_steps() -> None:
    layout = plan_layout(nested(), AGENTS)
    found = boxes(layout)
    assert list(found) == [
        "first",
        "group",
        "group/x",
        "group/y",
        "group/z",
        "beside",
        "last",
    ]
    x, y, width, height = found["group"]
    for path, (left, top, wide, high) in found.items():
        if path.startswith("group/"):
            assert x < left and left + wide < x + width
            assert y < top and top + high < y + height
    outer = [box for path, box in found.items() if "/" not in path]
    assert not any(overlap(*pair) for pair in combinations(outer, 2))
    place = {box.path: number for number, box in enumerate(layout.boxes)}
    assert {box.group for box in layout.boxes} == {-1, place["group"]}
    assert (place["beside"], place["last"], True) in layout.edges
    assert (place["group"], place["last"], False) in layout.edges
    assert (place["group/x"], place["group/y"], False) in layout.edges


def test_closed_groups_are_plain_steps() -> None:
    layout = plan_layout(nested(), AGENTS, closed=True)
    found = boxes(layout)
    assert list(found) == ["first", "group", "beside", "last"]
    assert found["group"][2:] == STEP
    assert layout.boxes[1].members == 3


def test_steps_that_texts_name_are_needed() -> None:
    plan = PlanSpec(name="p", steps=(step("one"), step("two", input="about {{one}}")))
    assert plan_layout(plan, AGENTS).edges == [(0, 1, False)]


def test_teams_and_panels_are_told_apart() -> None:
    seats = tuple(Member(name=f"m{i}", agent="a") for i in range(3))
    panel = Panel(question="?", contributors=(step("c"), step("d")), synthesis=step("s"))
    plan = PlanSpec(
        name="p",
        steps=(
            StepSpec(name="vote", kind="consensus", team=ConsensusSpec(members=seats)),
            step("code", review=ReviewSpec(members=seats[:1], swarm=5)),
            panel_step("talk", panel),
        ),
    )
    found = {box.path: (box.kind, box.members) for box in plan_layout(plan, AGENTS).boxes}
    assert found["vote"] == ("consensus", 3)
    assert found["code"] == ("review", 5)
    assert found["talk"] == ("panel", 4)
    assert {"talk/c", "talk/gather", "talk/synthesis"} <= set(found)


def test_the_document_says_only_what_is_not_usual() -> None:
    told = layout_document(plan_layout(nested(), AGENTS))
    assert told["nodes"][0][:2] == ["first", "call"]
    assert list(told["sizes"]) == ["1"]
    assert told["groups"] == {"2": 1, "3": 1, "4": 1}
    assert [edge for edge in told["edges"] if len(edge) > 2] == [[5, 6, 1]]


def layered(count: int, layers: int) -> PlanSpec:
    rng, each = random.Random(count), count // layers
    steps = []
    for number in range(count):
        layer, needs = number // each, []
        for _ in range(rng.randint(1, 3) if layer else 0):
            back = layer - 1 if rng.random() > 0.05 else rng.randrange(layer)
            needs.append(f"s{back * each + rng.randrange(each)}")
        steps.append(step(f"s{number}", *dict.fromkeys(needs)))
    return PlanSpec(name="p", steps=tuple(steps))


def test_a_large_plan_gives_the_same_bytes_twice() -> None:
    plan = layered(10_000, 40)
    first = msgspec.json.encode(layout_document(plan_layout(plan, AGENTS)))
    assert msgspec.json.encode(layout_document(plan_layout(plan, AGENTS))) == first


def test_trunks_are_bounded_however_many_edges_are_long() -> None:
    # Each step of a long chain leads to the last one, too: there are not n² places to pass.
    count = 1_500
    edges = [(i, i + 1) for i in range(count - 1)] + [(i, count - 1) for i in range(count - 2)]
    layers = arrange([STEP] * count, sorted(edges))
    assert sum(map(len, layers.trunks.values())) <= 2 * count + 200
