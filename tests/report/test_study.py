"""A study in lines and as a document: the match first, and no figures where they would be wrong."""

import msgspec
import pytest

from hocket.report.study import direction, study_document, study_lines
from hocket.simulator.outcome import Match, Row, Spread, Study

BASE = Row(
    name="baseline",
    runs=1000,
    seconds=Spread(124.0, 118.0, 131.0),
    calls=Spread(14, 14, 14),
    usd=Spread(0.12, 0.11, 0.13),
    tokens=Spread(900, 800, 1000),
    refused=Spread(0, 0, 2),
    success=1.0,
    binds="room in the windows of pro",
)
QUICK = Row(
    name="limits.flash.requests=15/min",
    settings=("limits.flash.requests=15/min",),
    runs=1000,
    seconds=Spread(80.24, 75.0, 88.0),
    calls=Spread(13, 12, 15),
    usd=Spread(0.12, 0.11, 0.13),
    success=0.98,
    faster=Spread(44.0, 39.0, 50.0),
    cheaper=Spread(0.0, -0.01, 0.01),
    certain=(43.2, 44.8),
    binds="work of fast",
    frontier=True,
)
SLOW = Row(
    name="consensus.policy=restart_all limits.flash.requests=9/min",
    settings=("consensus.policy=restart_all", "limits.flash.requests=9/min"),
    runs=1000,
    seconds=Spread(180.0, 175.0, 188.0),
    calls=Spread(21, 21, 21),
    usd=Spread(0.2, 0.19, 0.21),
    unpriced=True,
    success=1.0,
    faster=Spread(-56.0, -60.0, -50.0),
    cheaper=Spread(-0.08, -0.09, -0.07),
    certain=(-57.0, -55.1),
    binds="work of fast",
)
NEVER = Row(name="max_parallel=0", why="max_parallel: must be at least 1, not 0")
GOOD = Match(
    run="ask-1",
    seconds=123.46,
    simulated=BASE.seconds,
    calls=14,
    simulated_calls=Spread(14, 14, 14),
    verdict="good",
)


def study(match: Match | None = GOOD, *variants: Row, assumed: tuple[str, ...] = ()) -> Study:
    return Study(
        name="ask-1",
        plan="ask",
        seed=7,
        baseline=BASE,
        variants=variants,
        match=match,
        assumed=assumed,
    )


def test_the_match_comes_first_in_one_sentence() -> None:
    first = study_lines(study())[0]
    assert first == "The simulated baseline takes 124 s (118 to 131), run ask-1 took 123.5 s: good."
    other = msgspec.structs.replace(GOOD, simulated_calls=Spread(15, 14, 16))
    assert ", and makes 15 (14 to 16) calls, the run made 14: good." in study_lines(study(other))[0]


def test_the_table_and_the_plot_say_all_of_a_study() -> None:
    lines = study_lines(study(GOOD, QUICK, SLOW, NEVER, assumed=("One call alone is known.",)))
    assert lines[2:] == [
        "plan ask of ask-1: 1,000 simulated runs each, seed 7",
        "  variant 2: consensus.policy=restart_all limits.flash.requests=9/min",
        "",
        "VARIANT                         SECONDS (95 %)       FASTER BY (95 %)        "
        "CALLS          COST            REFUSED     SUCCESS  BINDS",
        "baseline                        124 (118 to 131)     –                       "
        "14             $0.12           0 (0 to 2)  100%     room in the windows of pro",
        "limits.flash.requests=15/min *  80.2 (75.0 to 88.0)  44.0 (43.2 to 44.8)     "
        "13 (12 to 15)  $0.12           0           98%      work of fast",
        "variant 2                       180 (175 to 188)     −56.0 (−57.0 to −55.1)  "
        "21             $0.20 and more  0           100%     work of fast",
        "",
        "baseline                                             ├──●──┤",
        "limits.flash.requests=15/min     ├─●───┤                ┊",
        "variant 2                                               ┊                       ├──●──┤",
        " " * 30 + "─" * 15 + "┬" + "─" * 22 + "┬" + "─" * 21,
        "                                            100 s                  150 s",
        "",
        "* no other one is both quicker and cheaper",
        "max_parallel=0 cannot be simulated: max_parallel: must be at least 1, not 0",
        "",
        "notes:",
        "  One call alone is known.",
    ]


@pytest.mark.parametrize(("unpriced", "said"), [(False, " $0.00 "), (True, " unpriced ")])
def test_what_costs_nothing_is_written_as_everywhere(unpriced: bool, said: str) -> None:
    free = msgspec.structs.replace(BASE, usd=None, unpriced=unpriced)
    lines = study_lines(msgspec.structs.replace(study(GOOD, QUICK), baseline=free))
    assert said in next(line for line in lines if line.startswith("baseline"))


def test_a_narrow_terminal_gets_the_table_in_parts() -> None:
    lines = study_lines(study(GOOD, QUICK), 70)
    assert max(map(len, lines[2:])) <= 70
    heads = [line for line in lines if line.startswith("VARIANT")]
    assert len(heads) > 1
    words = " ".join(heads)
    for column in ("SECONDS", "FASTER", "CALLS", "COST", "REFUSED", "SUCCESS", "BINDS"):
        assert words.count(column) == 1


def test_a_rough_match_gives_rounded_figures_and_says_why() -> None:
    rough = msgspec.structs.replace(GOOD, verdict="rough", reasons=("It made 14 calls.",))
    lines = study_lines(study(rough, QUICK))
    assert lines[0].endswith("run ask-1 took 123 s: rough, so the figures are rounded.")
    assert lines[1] == "  It made 14 calls."
    assert any("80 (75 to 88)" in line and "44 (43 to 45)" in line for line in lines)


def test_a_bad_match_gives_directions_and_no_figures() -> None:
    reason = "It waited 60 s for the end of a pause."
    bad = msgspec.structs.replace(GOOD, verdict="bad", reasons=(reason,))
    lines = study_lines(study(bad, QUICK, SLOW))
    assert lines[0].endswith("bad, so only directions are given, and no figures.")
    assert lines[1] == f"  {reason}"
    start = next(i for i, line in enumerate(lines) if line.startswith("VARIANT"))
    assert lines[start:] == [
        "VARIANT                       TIME    CALLS  COST      BINDS",
        "limits.flash.requests=15/min  faster  fewer  the same  work of fast",
        "variant 2                     slower  more   dearer    work of fast",
    ]
    document = study_document(study(bad, QUICK))
    assert document["variants"][0]["seconds"] is None
    assert document["variants"][0]["faster_certain"] is None
    assert document["variants"][0]["direction"] == "faster"


@pytest.mark.parametrize(
    ("certain", "said"),
    [((0.1, 0.3), "faster"), ((-0.3, -0.1), "slower"), ((-0.1, 0.1), "as fast"), (None, "")],
)
def test_a_direction_is_given_only_where_it_is_certain(
    certain: tuple[float, float] | None, said: str
) -> None:
    assert direction(msgspec.structs.replace(QUICK, certain=certain)) == said


def test_without_variants_nothing_is_compared() -> None:
    lines = study_lines(study(None))
    assert lines[0] == "plan ask of ask-1: 1,000 simulated runs, seed 7"
    assert not any("FASTER" in line or "*" in line for line in lines)


def test_what_all_varied_ones_have_besides_is_said_once() -> None:
    both = ("max_parallel=2", "review.swarm=3")
    varied = msgspec.structs.replace(QUICK, name="+ review.swarm=3", settings=both)
    assert "  + stands for: with max_parallel=2, too" in study_lines(study(None, varied))


def test_the_document_has_every_figure() -> None:
    document = study_document(study(GOOD, QUICK, NEVER))
    assert document["match"]["verdict"] == "good"
    quick, never = document["variants"]
    assert quick["seconds"] == {"median": 80.24, "low": 75.0, "high": 88.0}
    assert quick["dollars"]["median"] == 0.12
    assert (quick["faster_certain"], quick["frontier"]) == ([43.2, 44.8], True)
    assert (never["why"], never["seconds"]) == (NEVER.why, None)
    assert msgspec.json.encode(document) == msgspec.json.encode(
        study_document(study(GOOD, QUICK, NEVER))
    )


def test_where_nothing_could_be_simulated_it_is_said_and_nothing_is_drawn() -> None:
    never = Row(name="baseline", why="no run ever ends")
    lines = study_lines(msgspec.structs.replace(study(None), baseline=never))
    assert lines[0] == "plan ask of ask-1: no simulated runs, seed 7"
    assert lines[-1] == "baseline cannot be simulated: no run ever ends"
    assert not any("─" in line or "SECONDS" in line for line in lines)


@pytest.mark.parametrize(("low", "high"), [(0.9, 9.0), (0.0, 1.0), (95.0, 105.0), (3.01, 3.02)])
def test_an_axis_has_two_ticks_at_least(low: float, high: float) -> None:
    base = msgspec.structs.replace(BASE, seconds=Spread((low + high) / 2, low, high))
    lines = study_lines(msgspec.structs.replace(study(None), baseline=base))
    axis = next(line for line in lines if "┬" in line)
    assert axis.count("┬") >= 2


def test_one_that_is_far_off_leaves_the_others_their_room() -> None:
    far = msgspec.structs.replace(QUICK, seconds=Spread(360_000.0, 350_000.0, 370_000.0))
    half = msgspec.structs.replace(QUICK, name="a=1", seconds=Spread(130.0, 60.0, 360_000.0))
    lines = study_lines(study(None, far, half))
    plot = lines[lines.index("▸ goes on beyond the axis") - 5 :]
    assert plot[0].rstrip().endswith("┤") and plot[0].count("─") > 2
    assert plot[1].endswith("▸") and plot[2].endswith("─▸")
    assert plot[2].count("─") > 5


def test_one_run_is_said_as_one() -> None:
    one = msgspec.structs.replace(study(None), baseline=msgspec.structs.replace(BASE, runs=1))
    assert study_lines(one)[0] == "plan ask of ask-1: 1 simulated run, seed 7"
