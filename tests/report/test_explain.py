"""An explanation as lines of text: sums, widths, the words of gains, logs of others."""

from __future__ import annotations

import re

import pytest
from tests.report.explained import BEGAN, call, explained, gain, many, seven, trace, wait

from hocket.core.values import MS, SECOND
from hocket.insight.explain import Explanation, explain
from hocket.insight.findings import Finding
from hocket.insight.trace import Disagreement, Stop
from hocket.report.explain import explain_lines
from hocket.report.explain_width import fitted, short_duration, wrapped
from hocket.report.gains import gain_told
from hocket.report.html import explain_html
from hocket.simulator.outcome import Row, Spread


def part(lines: list[str], title: str) -> list[str]:
    """Give the lines of a part, without its title, up to the next one."""
    start = next(n for n, line in enumerate(lines) if line.startswith(title)) + 1
    found = []
    for line in lines[start:]:
        if (line and not line.startswith(" ")) or "NO SCHEDULE" in line:
            break
        found.append(line)
    return [line for line in found if line]


def with_finding(told: Explanation, **changes: object) -> Explanation:
    fields: dict[str, object] = {
        "kind": "rate",
        "subject": "flash",
        "title": "30.0 s went to waiting for flash's 2 requests a minute",
        "cost": 30 * SECOND,
        "share": 0.3,
        "evidence": (4, 6),
        "advice": "Raise the limit.",
        "change": ("limits.flash.requests=4/min",),
    }
    finding = Finding(**(fields | changes))  # type: ignore[arg-type]
    return Explanation(
        **{
            name: getattr(told, name)
            for name in told.__struct_fields__
            if name not in ("findings",)
        },
        findings=[finding],
    )


# -- gains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "worth", "words"),
    [
        (gain(), "faster", "41.0 s faster (38.0 s to 44.0 s in 95 % of 200 pairs of runs)"),
        (
            gain(verdict="rough"),
            "faster",
            "about 41 s faster (38 s to 44 s in 95 % of 200 pairs of runs)",
        ),
        (
            gain(verdict="bad"),
            "faster",
            "faster; by how much is not said, since the simulation does not match the run",
        ),
        (
            gain(faster=Spread(-5.2, -6.0, 1.0), certain=(-5.4, -5.0), pairs=1),
            "slower",
            "5.2 s slower (-1.0 s to 6.0 s in 95 % of 1 pair of runs)",
        ),
        (
            gain(faster=Spread(0.0512, 0.0031, 0.44), certain=(0.05, 0.06)),
            "faster",
            "51 ms faster (3.1 ms to 440 ms in 95 % of 200 pairs of runs)",
        ),
        (
            gain(verdict="rough", faster=Spread(0.0512, 0.0031, 0.44), certain=(0.05, 0.06)),
            "faster",
            "about 50 ms faster (3 ms to 440 ms in 95 % of 200 pairs of runs)",
        ),
        (gain(certain=(-0.1, 0.2)), "none", "no gain"),
        (
            gain(certain=(-0.1, 0.2), binds="room in the windows of pro"),
            "none",
            "no gain: room in the windows of pro binds next",
        ),
        (
            gain(certain=(0.0, 0.0), binds="room in the windows of flash"),
            "none",
            "no gain: room in the windows of flash still binds",
        ),
        (
            gain(success=0.0, faster=None, certain=None),
            "fails",
            "fails in 100 % of runs: not a change to make",
        ),
        (
            gain(success=0.0, figures="stand still", faster=None, certain=None),
            "fails",
            "stands still and never ends in 100 % of runs: not a change to make",
        ),
        # However much faster it fails.
        (gain(success=0.0), "fails", "fails in 100 % of runs: not a change to make"),
        (
            gain(success=0.995),
            "fails",
            "succeeds in 99.5 % of runs, 100 % without the change: not a change to make; where it "
            "does, 41.0 s faster (38.0 s to 44.0 s in 95 % of 200 pairs of runs)",
        ),
        (
            gain(success=0.9, certain=(-1.0, 1.0), baseline=Row(name="baseline", success=0.4)),
            "faster",
            "succeeds in 90 % of runs, 40 % without the change; where it does, no gain",
        ),
        (
            gain(success=0.0, baseline=Row(name="baseline", success=0.0)),
            "unknown",
            "no run succeeds, with or without it, so the gain is not known",
        ),
        (
            gain(unknown="kept answers are not simulated"),
            "unknown",
            "kept answers are not simulated, so the gain is not known",
        ),
        (gain(runs=0), "unknown", "nothing is known"),
        (gain(faster=None, certain=None), "unknown", "nothing is known of the time"),
        (gain(why="no such\nlimit"), "impossible", "not possible: no such limit"),
    ],
)
def test_a_gain_is_told_in_words(made: object, worth: str, words: str) -> None:
    assert gain_told(made) == (worth, words)  # type: ignore[arg-type]
    assert gain_told(made).words == words  # type: ignore[arg-type]


def test_only_what_helps_is_a_plain_change_to_try() -> None:
    told = with_finding(explained())

    def said(*gains: object) -> list[str]:
        return [line.strip() for line in part(explain_lines(told, gains), "findings")]  # type: ignore[arg-type]

    plain = ["try: Raise the limit.", "hocket simulate 01RUN --set limits.flash.requests=4/min"]
    first = "1. 30.0 s went to waiting for flash's 2 requests a minute (30 % of the run)"
    assert said() == [first, *plain, "events 4, 6"]
    better = "simulated: 41.0 s faster (38.0 s to 44.0 s in 95 % of 200 pairs of runs)"
    assert said(gain()) == [first, *plain, better, "events 4, 6"]
    for other, label in (
        (gain(certain=(-1.0, 1.0)), "considered"),
        (gain(faster=Spread(-2, -3, -1), certain=(-2.5, -1.5)), "considered"),
        (gain(success=0.0), "considered"),
        (gain(why="no"), "considered"),
        (gain(unknown="kept answers are not simulated"), "perhaps"),
    ):
        lines = said(other)
        assert lines[1] == f"{label}: Raise the limit."
        assert lines[3].startswith("simulated: ")
        assert not any(line.startswith("try:") for line in lines)


# -- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_the_shares_add_up_to_the_run(whole: bool) -> None:
    for told in (explained(), explain(many(300)), seven()):
        lines = part(explain_lines(told, whole=whole), "what the finish waited for")
        found = [re.search(r"([\d,.]+) s +([\d.]+) %$", line) for line in lines]
        rows = [(float(one[1].replace(",", "")), float(one[2])) for one in found if one is not None]
        *parts, (took, all_) = rows
        assert len(parts) > 1
        assert took == pytest.approx(told.trace.took / SECOND, abs=6e-4)
        assert all_ == 100
        assert sum(time for time, _ in parts) == pytest.approx(took, abs=6e-4 * len(parts))
        assert sum(share for _, share in parts) == pytest.approx(100, abs=0.06 * len(parts))


def test_the_bar_is_in_the_order_of_the_table() -> None:
    lines = part(explain_lines(explained()), "what the finish waited for")
    marks = [line.strip()[0] for line in lines[1:-3]]
    bar, legend = lines[-2].strip(), lines[-1].strip()
    in_bar = list(dict.fromkeys(bar))
    assert in_bar == list(dict.fromkeys(marks))
    assert [words.split()[0] for words in legend.split("  ")] == in_bar
    assert len(bar) == 96


def test_short_stretches_and_small_bounds_are_joined_unless_all_is_asked_for() -> None:
    told = explain(
        trace(
            activities=[
                call("a", 0, 0.0002, 50, events=(1, 2)),
                call("b", 50.0002, 50.0002, 99.9, after=0, needs=(0,), events=(3, 4)),
            ],
            finish=1,
            stops=[],
            max_parallel=500,
            limits={},
        )
    )
    lines = explain_lines(told)
    chain = part(lines, "the chain to the finish")
    assert [line.split()[-1] for line in chain[1:]] == ["a#1", "b#1", "b#1"]
    text = "\n".join(lines)
    assert not re.search(r"(?<!\d)0\.000 s", text)
    assert "slot of the run" not in text
    whole = explain_lines(told, whole=True)
    assert len(part(whole, "the chain to the finish")) > len(chain)
    assert any("slot of the run" in line for line in whole)


def test_stretches_that_are_left_out_are_summed() -> None:
    lines = part(explain_lines(explain(many(300))), "the chain to the finish")
    assert re.fullmatch(r" +[\d.]+ s  \d+ shorter stretches", lines[-1])
    times = [float(re.search(r"([\d.]+) s  [a-zA-Z\d]", line)[1]) for line in lines[1:]]  # type: ignore[index]
    took = many(300).took / SECOND
    assert sum(times) == pytest.approx(took, abs=0.001 * len(times))


def test_evidence_is_cut_and_one_is_one() -> None:
    told = with_finding(explained(), evidence=tuple(range(1, 13)), advice="", change=())
    assert explain_lines(told)[-1] == "     events 1, 2, 3, 4, 5, 6, 7, 8 and 4 more"
    assert explain_lines(with_finding(explained(), evidence=(7,)))[-1] == "     event 7"
    lines = with_finding(explained(evidence="line"), evidence=(7, 9))
    assert explain_lines(lines)[-1] == "     lines 7, 9"


def test_calls_that_were_lost_with_their_process_are_not_said_to_have_failed() -> None:
    ends: list[dict[str, object]] = [{"how": "lost"}, {"how": "failed"}]
    calls = [call("x", 0, 0, 1, fate="failed", **ends[0])]
    lost = "\n".join(explain_lines(explained(activities=calls, finish=0)))
    assert re.search(r"^  lost +coder +x +1 ", lost, re.M)
    assert "1 call was lost with its process: nobody knows whether it ended" in lost
    calls += [call("x", 1, 1, 2, attempt=2, fate="failed", **ends[1])]
    both = explained(activities=calls, finish=1)
    assert re.search(r"^  failed \(1 lost\) +coder +x +2 ", "\n".join(explain_lines(both)), re.M)
    assert ">failed (1 lost)<" in explain_html(both)


def test_a_run_without_findings_and_one_without_time_say_so() -> None:
    told = explained(activities=[], finish=-1, stops=[], ended=BEGAN)
    assert explain_lines(told) == [
        "run 01RUN (" + explain_lines(told)[0].partition("(")[2],
        "",
        "It took no time.",
        "",
        "nothing stands out: no cause that a change would be worth",
    ]


# -- widths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("whole", [False, True])
def test_every_line_keeps_to_the_width(width: int, whole: bool) -> None:
    told = [
        with_finding(
            explained(
                name="a plan with a name of many words that goes on " * 3,
                missing=("The log does not tell what it does not tell, " * 5,),
                disagreements=(Disagreement("calls of everybody " * 3, "7 " * 30, "8 " * 30),),
            ),
            title="30.0 s went to waiting for something that has a long name " * 3,
            detail="4 calls took it, and all of them waited. " * 5,
            advice="Raise the limit, or split the work over a second account. " * 3,
            change=("limits.flash.requests=4/min", "agents.coder.concurrency=4", "max_parallel=8"),
            evidence=tuple(range(10**6, 10**6 + 20)),
        ),
        explain(many(300)),
        seven(),
    ]
    gains = [gain(success=0.9, binds="room in the windows of flash")]
    for one in told:
        lines = explain_lines(one, gains if one is told[0] else (), width, whole=whole)
        long = [line for line in lines if len(line) > width]
        assert not long
    text = explain_lines(told[0], gains, width)
    assert any(line.startswith("       ") and line.strip() for line in text), "hanging indents"


def test_a_table_shrinks_its_words_and_keeps_its_numbers() -> None:
    rows = [["1.00 s", "answer/scripted-pro/very/long/path#1"], ["10.00 s", "b#2"]]
    assert fitted(["AT", "CALL"], rows, 28, right={0}, shrink=(1,)) == [
        "     AT  CALL",
        " 1.00 s  answer/scrip…path#1",
        "10.00 s  b#2",
    ]
    assert fitted(["AT", "CALL"], rows, 99, right={0}, shrink=(1,))[1].endswith("path#1")


def test_a_text_is_wrapped_behind_its_indents() -> None:
    assert wrapped("one two-three four", 12, "- ", "  ") == ["- one", "  two-three", "  four"]
    assert wrapped("x" * 30, 10) == ["x" * 10] * 3


# -- durations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "0 ms"),
        (7, "7 ns"),
        (999, "999 ns"),
        (1_234, "1.23 µs"),
        (45_678, "45.7 µs"),
        (999_499, "999 µs"),
        (1_234_567, "1.23 ms"),
        (9_990_000, "9.99 ms"),
        (10 * MS, "10 ms"),
        (831_512_000, "832 ms"),
        (11 * SECOND, "11.0 s"),
    ],
)
def test_what_is_short_keeps_three_digits(ns: int, words: str) -> None:
    assert short_duration(ns) == words


def test_a_trace_below_a_millisecond_has_no_zeros() -> None:
    told = explain(
        trace(
            name="01RUN",
            ended=BEGAN + 412_000,
            activities=[
                call("a", 0, 0.0001, 0.0002, events=(1,)),
                call("b", 0.0002, 0.0003, 0.000412, after=0, needs=(0,), events=(2,)),
            ],
            finish=1,
            stops=[],
        )
    )
    lines = explain_lines(told)
    assert lines[0] == "run 01RUN: succeeded, 412 µs"
    assert "  412.000 µs  100.0 %" in "\n".join(lines)
    tables = [line for line in lines[3:] if re.search(r"\b0(\.0+)? (s|ms)\b", line)]
    assert not tables


# -- others' logs --------------------------------------------------------------------------------


def test_a_log_of_another_program_says_what_it_does_not_tell_at_the_end() -> None:
    told = explained(
        source="otlp",
        evidence="line",
        status="",
        missing=("Costs are not recorded.",),
        disagreements=(Disagreement("calls", "7", "8"),),
    )
    lines = explain_lines(told)
    assert "from a log of otlp: ended, 1 m 40 s" in " ".join(lines[:2])
    assert part(lines, "what the source does not tell") == ["  - Costs are not recorded."]
    assert part(lines, "where the log and the other") == [
        "  WHAT   THE LOG  THE RECORD",
        "  calls  7        8",
    ]


def test_a_log_that_was_cut_off_says_it_under_the_headline() -> None:
    cut = "The file ends in the middle (line 1, column 9): what came after that is not known."
    told = explained(name="01RUN", missing=("Costs are not recorded.", cut))
    lines = explain_lines(told, width=200)
    assert lines[2:4] == [told.headline, f"But: {cut}"]
    assert lines[4] == ""
    assert not any(line.startswith("But:") for line in explain_lines(explained()))


def test_steering_characters_do_not_reach_a_terminal() -> None:
    told = with_finding(
        explained(
            activities=[
                call("a\x1b[31m", 0, 30, 100, agent="p\x1b]0;x\x07", waits=(wait("rate:f", 0, 30),))
            ],
            finish=0,
            stops=[Stop("pause", BEGAN, BEGAN + 1)],
            missing=("\x1b[2J",),
        ),
        title="t\x1b[2Jt",
        detail="d\x1b[2Jd",
        advice="a\x1b[2Ja",
        change=("steps.\x1b[2J=1",),
    )
    assert "\x1b" not in "\n".join(explain_lines(told, whole=True))


def test_a_command_that_is_too_long_goes_on_as_a_shell_reads_it() -> None:
    lines = explain_lines(with_finding(explained()), (), 59)
    at = next(i for i, line in enumerate(lines) if "hocket simulate" in line)
    assert lines[at : at + 2] == [
        "     hocket simulate 01RUN \\",
        "       --set limits.flash.requests=4/min",
    ]
