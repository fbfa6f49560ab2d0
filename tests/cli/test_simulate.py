"""``hocket simulate`` as a stranger uses it: on a file, on a run, with mistakes, cut short."""

import re

import pytest
from tests.cli.kit import Home
from tests.cli.terminal import Terminal

PLAN = """
limits:
  slow: {requests: 2/s, margin: 0s, shared: false, adaptive: false}
agents:
  w: {scripted: {replies: [{output: hello, after: 100ms, tokens_in: 5, cost: 0.02}]}, limits: slow}
"""
STEPS = """
ask: {agent: w, each: inputs.items, prompt: "x {{item}}"}
"""
ITEMS = "items:=[1,2,3,4]"


@pytest.fixture
def prepared(home: Home) -> Home:
    home.write(STEPS, head=PLAN, plan="inputs: [items]")
    return home


def test_a_file_that_never_ran_is_simulated_beside_variants(prepared: Home) -> None:
    done = prepared.ok(
        "simulate",
        "hocket.yaml",
        *("-i", ITEMS, "--runs", "10", "--seed", "3"),
        *("--set", "limits.slow.requests=4/s", "--vary", "agents.w.latency=50ms,1s"),
    )
    lines = done.out.splitlines()
    assert lines[0] == "plan p of hocket.yaml: 10 simulated runs each, seed 3"
    assert lines[1] == "  + stands for: with limits.slow.requests=4/s, too"
    told = [line.replace(" *", "") for line in lines]
    rows = [line.split() for line in told if line.startswith(("baseline ", "limits.", "+ agents"))]
    assert [row[:2] for row in rows[:4]] == [
        ["baseline", "1.10"],
        ["limits.slow.requests=4/s", "0.100"],
        ["+", "agents.w.latency=50ms"],
        ["+", "agents.w.latency=1s"],
    ]
    assert done.err == ""
    # Nothing was run, and nothing was written.
    assert not (prepared.state / "journal.sqlite").exists()


def test_a_run_is_simulated_by_what_it_recorded(prepared: Home) -> None:
    prepared.ok("run", "--quiet", "--id", "one", "-i", ITEMS)
    done = prepared.ok("simulate", "--set", "limits.slow.requests=9/s", "--runs", "40")
    said = r"The simulated baseline takes [\d.]+ s( \([\d.]+ to [\d.]+\))?, run one took [\d.]+ s"
    assert re.match(said, done.out)
    document = prepared.ok("simulate", "one", "--json", "--vary", "limits.slow.requests=2..4/s")
    assert document.data["match"]["calls"] == 4
    assert [row["name"] for row in document.data["variants"]] == [
        f"limits.slow.requests={n}/s" for n in (2, 3, 4)
    ]
    assert document.data["baseline"]["runs"] == 200


def test_the_same_seed_gives_the_same_bytes_in_two_processes(prepared: Home) -> None:
    prepared.ok("run", "--quiet", "--id", "one", "-i", ITEMS)
    told = ("simulate", "one", "--runs", "60", "--vary", "max_parallel=1..2", "--json")
    first = prepared.ok(*told)
    assert first.out == prepared.ok(*told).out == prepared.ok(*told, "--workers", "2").out
    assert first.out != prepared.ok(*told, "--seed", "1").out
    pictures = []
    for name in ("a", "b"):
        prepared.ok(*told, "--svg", f"{name}.svg", "--frontier", f"{name}-f.svg")
        pictures.append([prepared.file(f"{name}{end}.svg").read_bytes() for end in ("", "-f")])
    assert pictures[0] == pictures[1]
    assert all(one.startswith(b"<svg") or b"<svg" in one[:200] for one in pictures[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nope"], "there is no run 'nope'; there are none yet"),
        (
            [],
            "there is no run 'last'; there are none yet; to simulate a plan that never ran: "
            "hocket simulate hocket.yaml",
        ),
        (["no.yaml"], "no.yaml: there is no such file"),
        (["hocket.yaml", "q"], "hocket.yaml: there is no plan 'q'; there are p"),
        (["hocket.yaml"], "plan 'p' needs the input 'items'"),
        (
            ["hocket.yaml", "-i", ITEMS, "--set", "max_paralel=3"],
            "setting 'max_paralel=3': there is no setting 'max_paralel'; "
            "did you mean 'max_parallel'?",
        ),
        (
            ["hocket.yaml", "-i", ITEMS, "--vary", "max_parallel=3..1"],
            "vary 'max_parallel=3..1': the first value is above the last one",
        ),
        (
            ["hocket.yaml", "-i", ITEMS, "--people-after", "soon"],
            "--people-after 'soon': after: 'soon' is not a duration; write it like '90s', '10m' "
            "or '1h30m'",
        ),
        (
            ["hocket.yaml", "-i", ITEMS, "--fault", "ww down 1s"],
            "fault 'ww down 1s': no agent, limit or model is called 'ww'; did you mean 'w'?",
        ),
        (["one", "-i", ITEMS], "--input is for files; a run has its inputs: write --set inputs."),
        (["one", "p"], "a run has one plan: leave 'p' out, or name a file"),
        (
            ["one", "--people-after", "1s"],
            "--people-after is for files; a run tells how long people took: write --set "
            "people.after=30s",
        ),
        (
            ["hocket.yaml", "-i", ITEMS, "--svg", "none/a.svg"],
            "cannot write none/a.svg: No such file or directory",
        ),
    ],
)
def test_a_mistake_is_said_with_status_2(prepared: Home, options: list[str], said: str) -> None:
    done = prepared.hocket("simulate", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(said)


def test_a_fault_in_the_file_is_shown_where_it_stands(prepared: Home) -> None:
    path = prepared.file("hocket.yaml")
    path.write_text(path.read_text() + "simulate:\n  faults: [gone]\n")
    done = prepared.hocket("simulate", "hocket.yaml", "-i", ITEMS)
    assert done.status == 2
    assert done.err.startswith("hocket.yaml:12:12: fault 'gone' says nothing that can go wrong")
    checked = prepared.hocket("check", "hocket.yaml")
    assert (checked.status, checked.err) == (2, done.err)


def test_ctrl_c_keeps_what_is_done(prepared: Home, terminals: list[Terminal]) -> None:
    told = ("simulate", "hocket.yaml", "-i", ITEMS, "--runs", "1000000", "--vary", "max_parallel=1")
    terminals.append(Terminal(prepared, *told))
    terminal = terminals[0]
    terminal.shows("of 2,000,000 runs")
    terminal.press("\x03")
    assert terminal.ended() == 0
    found = re.search(r"hocket: stopped after ([0-9,]+) runs of each variant", terminal.plain)
    assert found is not None
    assert f"plan p of hocket.yaml: {found[1]} simulated runs each" in terminal.plain
    assert int(found[1].replace(",", "")) < 1_000_000


def test_a_narrow_terminal_gets_all_columns(prepared: Home, terminals: list[Terminal]) -> None:
    terminals.append(
        Terminal(prepared, "simulate", "hocket.yaml", "-i", ITEMS, "--runs", "3000", columns=50)
    )
    terminal = terminals[0]
    assert terminal.ended() == 0
    assert "of 3,000 runs" in terminal.plain
    lines = terminal.plain.rpartition("plan p of")[2].splitlines()
    assert sum(line.startswith("VARIANT") for line in lines) > 1
    assert max(map(len, lines)) <= 50
    assert any("BINDS" in line for line in lines)
