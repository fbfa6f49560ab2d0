"""``hocket explain`` as a stranger uses it: runs, others' logs, files, mistakes, widths."""

import json
import re

import pytest
from tests.cli.kit import Home
from tests.cli.terminal import Terminal

HEAD = """
limits:
  slow: {requests: 4/s, margin: 0s, shared: false, adaptive: false}
agents:
  w: {scripted: {replies: [{output: hello, after: 20ms, tokens_in: 5, cost: 0.02}]}, limits: slow}
"""
STEPS = """
ask: {agent: w, each: "[1, 2, 3, 4, 5, 6]", prompt: "x {{item}}"}
sum: {agent: w, prompt: "{{ask}}"}
"""
SPANS = {
    "traceEvents": [
        {"name": "plan", "ph": "X", "ts": 0, "dur": 900_000, "pid": 1, "tid": 1},
        {"name": "search", "ph": "X", "ts": 900_000, "dur": 2_100_000, "pid": 1, "tid": 2},
    ]
}


@pytest.fixture
def ran(home: Home) -> Home:
    home.write(STEPS, head=HEAD)
    home.ok("run", "--quiet", "--id", "one")
    return home


def test_a_run_is_explained_and_its_first_changes_are_simulated(ran: Home) -> None:
    done = ran.ok("explain", "one")
    lines = done.out.splitlines()
    assert re.match(r"run one \(p\): succeeded, \d", lines[0])
    assert re.search(r"went to waiting for slow's 4 requests a second", lines[2])
    for title in ("what the finish waited for", "what became of the calls", "findings"):
        assert title in lines
    assert re.search(r"^     try: ", done.out, re.M)
    assert re.search(r"^     hocket simulate one --set limits\.slow\.requests=\S+$", done.out, re.M)
    said = r"^     simulated: (about )?[\d.]+ m?s faster \(.* in 95 % of 200 pairs of runs\)$"
    assert re.search(said, done.out, re.M)
    assert done.err == ""
    # The last run is the one that is meant, and the beginning of an id is enough.
    plain = ran.ok("explain", "on", "--no-simulate").out
    assert plain == ran.ok("explain", "--no-simulate").out
    assert "simulated:" not in plain
    assert len(ran.ok("explain", "--all", "--no-simulate").out) >= len(plain)


def test_a_change_that_breaks_the_run_is_not_one_to_try(home: Home) -> None:
    home.write(
        """
        a: {agent: m, prompt: same}
        b: {agent: m, prompt: same, needs: [a]}
        """,
        head="""
agents:
  m: {scripted: {replies: [{output: hello, after: 300ms, cost: 0.02, tokens_out: 9}]}}
""",
    )
    home.ok("run", "--quiet", "--id", "same")
    out = home.ok("explain", "same").out
    assert (
        "     perhaps: Keep its answers.\n     hocket simulate same --set agents.m.cache=1h\n"
        in out
    )
    assert "     simulated: kept answers are not simulated, so the gain is not known\n" in out


def test_the_document_has_integers_for_durations_and_counts(ran: Home) -> None:
    found = ran.ok("explain", "one", "--json").data
    assert sum(row["ns"] for row in found["shares"]) == found["took"]
    first = found["findings"][0]
    assert first["change"] == ["limits.slow.requests=8/s"]
    assert first["simulated"]["worth"] == "faster"
    assert first["simulated"]["calls"] == {"median": 7, "low": 7, "high": 7}
    assert all(type(value) is int for value in first["simulated"]["calls"].values())
    assert all("advice" in one and "change" in one for one in found["findings"])
    bare = ran.ok("explain", "one", "--json", "--no-simulate").data
    assert [one["simulated"] for one in bare["findings"]] == [None] * len(bare["findings"])


def test_files_are_written_beside_the_text(ran: Home) -> None:
    files = ("--html", "a.html", "--svg", "a.svg", "--perfetto", "a.json")
    done = ran.ok("explain", "one", *files, "--by", "step")
    assert done.err == "wrote a.html\nwrote a.svg\nwrote a.json\n"
    assert done.out.startswith("run one (p)")
    page = ran.file("a.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Simulated: " in page
    assert "timeline by step" in ran.file("a.svg").read_text()
    assert json.loads(ran.file("a.json").read_text())["traceEvents"]


def test_a_log_of_another_program_is_explained(home: Home) -> None:
    home.put("trace.json", json.dumps(SPANS))
    out = home.ok("explain", "--from", "chrome", "trace.json").out
    assert re.match(r"run .*, from a log of chrome: ended, 3\.0 s\n", out)
    assert "\nwhat the source does not tell\n" in out
    assert "simulated" not in out
    assert not (home.state / "journal.sqlite").exists(), "no journal is needed"
    found = home.ok("explain", "--from", "chrome", "trace.json", "--json").data
    assert (found["source"], found["took"]) == ("chrome", 3_000_000_000)
    assert found["missing"]


def test_a_log_that_was_cut_off_says_so_under_the_headline(home: Home) -> None:
    home.put("cut.json", json.dumps(SPANS)[:-40])
    out = home.ok("explain", "--from", "chrome", "cut.json").out
    first = out.partition("what the finish waited for")[0]
    assert "\nBut: The file ends in the middle (line 1, column" in first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "there is no run 'last'; there are none yet"),
        (["one", "--calls", "x"], "--calls is for others' logs: hocket explain --from massgen"),
        (["one", "--turn", "2"], "--turn is for others' logs: hocket explain --from massgen"),
        (["--from", "chrome", "none.json"], "there is no file or folder none.json"),
        (["--from", "chrome", "bad.json"], "bad.json:1:2: the value is nested too deeply"),
        (
            ["one", "--from", "jaeger"],
            'Invalid value "jaeger" for --from. Choose from: "massgen", "otlp", "chrome"',
        ),
        (["one", "--by", "colour"], 'Invalid value "colour" for --by.'),
        (["one", "--perfect", "a.json"], "Unknown option: --perfect."),
        (["one", "two"], "Unused Tokens: ['two']."),
    ],
)
def test_a_mistake_is_said_with_status_2(home: Home, options: list[str], said: str) -> None:
    home.put("bad.json", "[" * 10_000)
    done = home.hocket("explain", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(said)


def test_a_run_that_is_not_there_and_a_file_that_cannot_be_written_are_said(ran: Home) -> None:
    for options, said in (
        (["nope"], "there is no run 'nope'"),
        (["one", "--html", "no/a.html"], "cannot write no/a.html: No such file or directory"),
        (["one", "--svg", "."], "cannot write .: Is a directory"),
        (["one", "--perfetto", "no/a.json"], "cannot write no/a.json: No such file or directory"),
    ):
        done = ran.hocket("explain", *options, "--no-simulate")
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(said)


def test_sixty_columns_are_enough(ran: Home, terminals: list[Terminal]) -> None:
    terminals.append(Terminal(ran, "explain", "one", columns=60))
    terminal = terminals[0]
    assert terminal.ended() == 0
    lines = terminal.plain.splitlines()
    assert max(map(len, lines)) <= 60
    assert any(
        line.startswith("     hocket simulate one --set limits.slow.requests=") for line in lines
    )


def test_without_a_terminal_lines_are_as_wide_as_columns_says(ran: Home) -> None:
    for columns, most in (("40", 60), ("70", 70), ("500", 120)):
        done = ran.hocket("explain", "one", "--no-simulate", env={"COLUMNS": columns})
        assert max(map(len, done.out.splitlines())) <= most
        assert "\x1b" not in done.out
