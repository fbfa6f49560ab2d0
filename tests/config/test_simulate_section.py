"""What a file assumes of simulations is read strictly, and settings go before it."""

import pytest

from hocket.config.file import read_text
from hocket.config.schema import file_schema
from hocket.config.simulate import actors
from hocket.config.simulate_parts import SimulatePart
from hocket.core.errors import SpecError
from hocket.core.values import SECOND

HEAD = """\
version: 1
agents:
  fast: {scripted: {replies: [{output: x}]}}
plans: {p: {steps: {a: {agent: fast, prompt: x}, b: {command: [x]}}}}
simulate:
"""
FULL = """\
  runs: 200
  seed: 7
  faults: [fast down 30s at 1m, 5% hang]
  people: {after: 30s, approve: false, value: {colour: red}}
  everybody: {failing: 0.01}
  agents:
    b: {latency: 500ms}
    fast:
      latency: {p50: 3s, p95: 8s, least: 1s}
      latencies: {vote: [3s, 1s, 2s]}
      first: 1s
      tokens_out: 300
      price: {in: 1, out: 10}
      failing: 0.1
      fault: permanent
      refusing: 0.2
      retry_after: 9s
      hanging: 0.3
      votes: split
      revises: 0.4
      accuracy: 0.5
      faulty: 0.6
      turns: 2
"""


def part(text: str) -> SimulatePart:
    found = read_text(HEAD + text, "hocket.yaml").file.simulate
    assert found is not None
    return found


def test_all_of_it_is_read() -> None:
    found = part(FULL)
    assert (found.runs, found.seed) == (200, 7)
    assert found.faults == ["fast down 30s at 1m", "5% hang"]
    assert (found.people.after, found.people.approve) == (30 * SECOND, False)
    fast = found.agents["fast"]
    assert fast.latency is not None and not isinstance(fast.latency, list)
    assert (fast.latency.middle, fast.latency.least) == (3 * SECOND, SECOND)
    # Half take less than 3 s, and one in twenty more than 8 s.
    assert fast.latency.spread == pytest.approx(0.5963, abs=1e-4)
    assert fast.latencies["vote"] == [SECOND, 2 * SECOND, 3 * SECOND]


def test_people_may_never_answer() -> None:
    assert part("  people: {after: never}\n").people.after is None
    assert part("  runs: 1\n").people.after == 0


def test_settings_go_before_the_file() -> None:
    found = actors(part(FULL), {"fast": {"failing": 0.9, "latencies": {"answer": 1}}, "b": {}})
    assert found["fast"]["failing"] == 0.9
    assert [*found["fast"]["latencies"]] == ["vote", "answer"]
    assert found["fast"]["turns"] == 2
    assert found["everybody"] == {"failing": 0.01}
    # What holds for everybody holds for those, too, of whom something else is said.
    assert found["b"]["failing"] == 0.01
    every = actors(part(FULL), {"everybody": {"failing": 0.5}, "x": {"turns": 1}})
    assert every["fast"]["failing"] == every["b"]["failing"] == 0.5
    assert every["x"] == {"failing": 0.5, "turns": 1}
    assert actors(None, {"x": {"turns": 1}}) == {"x": {"turns": 1}}


def test_what_nobody_says_is_not_there() -> None:
    assert actors(part("  agents: {fast: {turns: 3}}\n"), {}) == {"fast": {"turns": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  rnus: 3\n", "6:3: unknown key 'rnus'; did you mean 'runs'?"),
        ("  runs: 0\n", "6:9: runs: must be at least 1, not 0"),
        ("  agents: {fats: {}}\n", "6:12: unknown agent 'fats'; did you mean 'fast'?"),
        ("  agents: {zzz: {}}\n", "6:12: unknown agent 'zzz'; there are fast, b"),
        ("  runs: 2000000\n", "6:9: runs: must be at most 1000000, not 2000000"),
        (
            "  agents: {fast: {latncy: 3s}}\n",
            "6:19: unknown key 'latncy'; did you mean 'latency'?",
        ),
        (
            "  agents:\n    fast:\n      latency: {medain: 3s}\n",
            "8:17: unknown key 'medain'; did you mean 'median'?",
        ),
        (
            "  agents: {fast: {latency: true}}\n",
            "6:28: latency is a duration like 3s, an object like {median: 3s, sigma: 0.3} or "
            "{p50: 3s, p95: 8s}, or a list of durations",
        ),
        (
            "  agents: {fast: {latency: soon}}\n",
            "6:28: latency: 'soon' is not a duration; write it like '90s', '10m' or '1h30m'",
        ),
        ("  agents: {fast: {latency: {sigma: 1}}}\n", "latency has either a median or a p50"),
        (
            "  agents: {fast: {latency: {median: 1s, sigma: 1, p95: 2s}}}\n",
            "a latency has either a sigma or a p95",
        ),
        (
            "  agents: {fast: {latency: {p50: 3s, p95: 2s}}}\n",
            "p95 is not shorter than the median",
        ),
        ("  agents: {fast: {latency: []}}\n", "6:28: latency: cannot be empty"),
        ("  agents: {fast: {latency: 0s}}\n", "6:28: latency: a latency is longer than 0"),
        ("  agents: {fast: {latencies: {votes: 1s}}}\n", "did you mean 'vote'?"),
        ("  agents: {fast: {failing: 1.5}}\n", "6:28: failing: must be at most 1, not 1.5"),
        ("  agents: {fast: {votes: for}}\n", "votes: must be 'unanimous', 'split' or 'random'"),
        ("  people: {after: soon}\n", "after: 'soon' is not a duration"),
        ("  faults: 5% hang\n", "6:11: faults: must be a list, not the text '5% hang'"),
    ],
)
def test_what_is_wrong_is_shown_where_it_stands(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        part(text)
    (line,) = caught.value.lines
    assert line.startswith("hocket.yaml:")
    assert said in line


def test_one_mistake_hides_no_other() -> None:
    text = "  runs: 0\n  agents:\n    fast: {latncy: 1s}\n    fats: {}\n  people: 3\n"
    with pytest.raises(SpecError) as caught:
        part(text)
    assert [line.partition(": ")[2] for line in caught.value.lines] == [
        "runs: must be at least 1, not 0",
        "unknown key 'latncy'; did you mean 'latency'?",
        "unknown agent 'fats'; did you mean 'fast'?",
        "people: must be an object of keys and values, not the number 3",
    ]
    with pytest.raises(SpecError, match="simulate: must be an object of keys and values"):
        read_text(HEAD.replace("simulate:", "simulate: 3"), "hocket.yaml")


def test_editors_know_it() -> None:
    schema = file_schema()
    assert "simulate" in schema["properties"]
    actor = schema["definitions"]["ActorPart"]
    assert actor["additionalProperties"] is False
    assert "latency" in actor["properties"]
