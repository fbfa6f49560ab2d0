"""What the commands print, word for word, with times masked; stdout holds data alone."""

import json
import os
import subprocess
import sys

import pytest
from tests.cli.kit import Home, masked
from tests.cli.terminal import Terminal

from hocket.cli.main import COMMANDS, ELSEWHERE, STATUSES, main

STEPS = """
names: {command: [printf, 'a\\nb\\n'], output: lines}
greet: {each: names, command: [echo, 'hi {{item}}'], concurrency: 1}
bad: {shell: 'exit 3', on_failure: skip, needs: [greet]}
last: {command: [echo, '{{greet}}'], needs: [greet]}
"""


@pytest.fixture
def ran(home: Home) -> Home:
    home.write(STEPS, plan="output: '{{last}}'")
    home.ok("run", "--id", "r")
    return home


PLAIN = """\
TIME run r2
TIME plan 'p' started: 4 steps
TIME names#1 started (names)
TIME names#1 finished after TOOK
TIME greet/0#1 started (greet)
TIME greet/0#1 finished after TOOK
TIME greet/1#1 started (greet)
TIME greet/1#1 finished after TOOK
"""

CLOSING = """\
run r2 succeeded: 3/4 done · 1 failed · 5 calls · TOOK
  ✗ bad  failed  bad  exit status 3
  to look at it: hocket show r2
"""


def test_run(ran: Home) -> None:
    done = ran.hocket("run", "--id", "r2", "--plain")
    assert done.out == '["hi a","hi b"]\n'
    told = masked(done.err)
    assert told.startswith(PLAIN), told
    assert told.endswith(CLOSING), told


def test_run_quiet(ran: Home) -> None:
    done = ran.hocket("run", "--quiet")
    assert (done.status, done.out, done.err) == (0, '["hi a","hi b"]\n', "")


def test_run_json(ran: Home) -> None:
    done = ran.hocket("run", "--id", "r2", "--json")
    assert done.err == ""
    data = done.data
    assert data.pop("seconds") > 0
    assert data == {
        "run": "r2",
        "plan": "p",
        "status": "succeeded",
        "reason": "",
        "output": '["hi a","hi b"]',
        "steps": [
            {"path": "names", "kind": "call", "status": "succeeded", "agent": "names"},
            {
                "path": "greet",
                "kind": "call",
                "status": "succeeded",
                "agent": "greet",
                "done": 2,
                "total": 2,
            },
            {
                "path": "bad",
                "kind": "call",
                "status": "failed",
                "agent": "bad",
                "detail": "exit status 3",
            },
            {"path": "last", "kind": "call", "status": "succeeded", "agent": "last"},
        ],
        "teams": {},
        "panels": {},
        "held": [],
        "calls": {"started": 5, "finished": 4, "failed": 1, "cancelled": 0, "lost": 0},
        "tokens": {"in": 0, "cached": 0, "out": 0},
        "cost_usd": 0,
        "unpriced_calls": 0,
        "kept": {"hits": 0, "misses": 0, "saved_tokens": 0, "saved_usd": 0.0},
    }
    assert ran.ok("show", "r2", "--json").data | {"seconds": 0} == data | {"seconds": 0}


def test_run_jsonl_is_the_journals_events(ran: Home) -> None:
    done = ran.hocket("run", "--id", "r2", "--jsonl")
    assert done.err == ""
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["event"] for line in lines] == ran.events("r2")
    assert lines[0]["event"]["type"] == "run_started"
    assert lines[-1]["event"]["type"] == "run_ended"
    assert ran.ok("logs", "r2", "--jsonl").out == done.out


def test_a_failed_run_gives_no_data(home: Home) -> None:
    home.write("a: {shell: 'exit 3'}")
    for option in ("--quiet", "--plain"):
        done = home.hocket("run", option)
        assert (done.status, done.out) == (1, "")
        assert "exit status 3" in done.err
    done = home.hocket("run", "--json")
    assert done.status == 1
    assert (done.data["status"], done.data["reason"]) == (
        "failed",
        "step 'a' failed: exit status 3",
    )


SHOW = """\
run r (p): succeeded, TOOK
  3/4 done · 1 failed
  5 calls

STEP     STATE          BY     \

✓ names  succeeded      names
✓ greet  succeeded 2/2  greet
✗ bad    failed         bad    exit status 3
✓ last   succeeded      last
"""


def test_show(ran: Home) -> None:
    done = ran.ok("show")
    assert [line.rstrip() for line in masked(done.out).splitlines()] == [
        line.rstrip() for line in SHOW.splitlines()
    ]
    assert done.err == ""
    assert ran.ok("show", "r", "greet").out == '[\n  "hi a",\n  "hi b"\n]\n'
    assert ran.ok("show", "r", "greet/1").out == "hi b\n"
    assert ran.ok("show", "r", "last", "--json").out == json.dumps('["hi a","hi b"]') + "\n"


def test_runs(ran: Home) -> None:
    lines = ran.ok("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "PLAN", "STATUS", "BEGAN", "TOOK", "EVENTS"]
    assert lines[1].split()[:3] == ["r", "p", "succeeded"]
    (row,) = ran.ok("runs", "--json").data
    assert set(row) == {
        "id",
        "name",
        "status",
        "created",
        "updated",
        "events",
        "owner",
        "alive",
    }


def test_logs(ran: Home) -> None:
    lines = masked(ran.ok("logs").out).splitlines()
    assert lines[0] == "     1  TIME  plan 'p' started: 4 steps"
    assert any(line.endswith("bad#1 failed after TOOK: exit status 3") for line in lines)
    assert lines[-1].endswith("run succeeded")
    assert ran.ok("logs", "r", "greet/0").out == "== greet/0#1\nhi a\n"
    assert ran.ok("logs", "r", "greet").out == "== greet/0#1\nhi a\n== greet/1#1\nhi b\n"
    assert ran.ok("logs", "r", "bad").out == "== bad#1\n-- failed: exit status 3\n"


def test_logs_of_a_failure_say_each_thing_once(home: Home) -> None:
    home.write("a: {shell: 'echo problem >&2; exit 3'}")
    home.hocket("run", "--id", "r")
    assert home.ok("logs", "r", "a").out == ("== a#1\nproblem\n-- failed: exit status 3: problem\n")


def test_logs_follow_a_run_to_its_end(home: Home) -> None:
    home.write(
        "a: {shell: 'echo one; while [ ! -e go ]; do sleep 0.02; done; echo two'}\n"
        "b: {command: [echo, x], needs: [a]}"
    )
    child = home.running()
    follower = home.start("logs", "r", "--follow")
    assert follower.stdout is not None
    for line in follower.stdout:
        if "a#1 started" in line:
            break
    home.file("go").touch()
    rest, _ = follower.communicate(timeout=20)
    assert "b#1 finished" in rest
    assert rest.splitlines()[-1].endswith("run succeeded")
    child.communicate(timeout=20)
    assert home.ok("logs", "r", "a").out == "== a#1\none\ntwo\n"


def test_files_of_a_step_are_saved(home: Home) -> None:
    home.write(
        "a: {shell: 'printf one > a.txt; printf two > b.txt', files: ['*.txt'], output: text}"
    )
    home.ok("run", "--id", "r")
    out = home.ok("show", "r", "a", "--save", "out").out.splitlines()
    assert sorted(out) == ["out/a.txt", "out/b.txt"]
    assert home.file("out/b.txt").read_text() == "two"
    again = home.ok("show", "r", "a", "--save", "out").out.splitlines()
    assert sorted(again) == ["out/a-2.txt", "out/b-2.txt"]


def test_prune(ran: Home) -> None:
    ran.ok("run", "--id", "r2")
    dry = ran.ok("prune", "r", "--dry-run")
    assert (dry.out, dry.err) == ("would delete r (succeeded)\n", "1 run would be deleted\n")
    done = ran.ok("prune", "r")
    assert done.out == "deleted r (succeeded)\n"
    assert done.err.startswith("1 run deleted, ")
    assert [row["id"] for row in ran.ok("runs", "--json").data] == ["r2"]
    assert not (ran.state / "logs" / "r").exists()
    assert ran.ok("prune", "--older-than", "0s").out == "deleted r2 (succeeded)\n"
    assert ran.ok("runs").err == "no runs yet; begin with: hocket init\n"


@pytest.mark.parametrize("template", ["commands", "functions", "local", "model"])
def test_what_init_writes_is_right(home: Home, template: str) -> None:
    made = home.ok("init", "new", "--template", template)
    assert "wrote new/hocket.yaml" in made.out
    assert made.out.endswith("next: hocket run new/hocket.yaml\n")
    checked = home.ok("check", "new/hocket.yaml")
    assert checked.out.splitlines()[-1].startswith("no mistakes")
    (about,) = home.ok("check", "new/hocket.yaml", "--json").data
    assert about["steps"] >= 3
    if template in {"commands", "functions"}:
        assert home.ok("run", "new/hocket.yaml", "--quiet").out


def test_schema_is_json(home: Home) -> None:
    assert home.ok("schema").data["type"] == "object"


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_and_option_is_explained(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: hocket {command}" in text
    assert "default: False" not in text
    rows = [line.strip("│ ").split("  ") for line in text.splitlines() if line.startswith("│")]
    bare = [row for row in rows if len([part for part in row if part.strip()]) < 2]
    # What stands alone continues a longer explanation.
    assert not [row for row in bare if row[0].lstrip("* ").startswith("--")]


def test_every_command_is_in_the_help(home: Home) -> None:
    text = home.ok("--help").out
    places = [text.index(f"│ {name} ") for name in COMMANDS]
    assert places == sorted(places)
    for status, meaning in STATUSES.items():
        assert f"  {status:<4}{meaning}\n" in text


def test_sixty_columns_break_no_word(home: Home, terminals: list[Terminal]) -> None:
    long = "collect-all-the-things-that-there-are"
    home.write(f"a: {{command: [echo, x]}}\n{long}: {{command: [echo, y], needs: [a]}}")
    home.ok("run", "--id", "r")
    told = ["show", "runs", "stats", "doctor", "logs last", "simulate last --runs 20"]
    for command in told:
        terminals.append(Terminal(home, *command.split(), columns=60))
    for command, terminal in zip(told, terminals, strict=True):
        assert terminal.ended() == 0
        lines = terminal.plain.splitlines()
        wide = [line for line in lines if len(line) > 60 and len(line.split()) > 1]
        assert not [line for line in wide if not line.startswith("simulated ")], command
    assert "…" not in terminals[told.index("stats")].plain


def test_the_shell_completes(home: Home) -> None:
    home.ok("--install-completion", "--shell", "bash")
    (script,) = (home.folder.parent / ".local").rglob("hocket")
    done = subprocess.run(
        ["bash", "-c", f"source {script}; COMP_WORDS=(hocket appr); COMP_CWORD=1; _hocket; "
         "echo ${COMPREPLY[@]}"],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert done.stdout == "approve\n"


def test_what_all_commands_share_is_in_the_first_help_alone(home: Home) -> None:
    for args in (["approve"], ["journal"], ["journal", "copy"], ["population", "run"]):
        text = home.ok(*args, "--help").out
        assert text.endswith(f"{ELSEWHERE}\n")
        assert "HOCKET_OTEL" not in text


HELPS = """
from hocket.cli.main import COMMANDS, app, main
inner = [[group, name] for group in ("population", "journal") for name in app[group]]
for args in [[name] for name in COMMANDS] + [one for one in inner if one[1][0] != "-"]:
    print("#", *args, flush=True)
    assert main([*args, "--help"]) == 0
"""


def test_no_help_breaks_in_the_middle_of_a_sentence() -> None:
    # In a process of its own: how wide it is, is found out once.
    done = subprocess.run(
        [sys.executable, "-c", HELPS], env={**os.environ, "COLUMNS": "220"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    helps = done.stdout.split("# ")[1:]
    assert len(helps) > len(COMMANDS)
    for text in helps:
        args, *lines = [line.rstrip() for line in text.splitlines() if line]
        assert not [line for line in lines if line.startswith("│        ")], args
        said = [line for line in lines if line[0] not in "│╭╰" and not line.startswith("Usage:")]
        assert not [line for line in said if line != ELSEWHERE and line[-1] not in ".:"], args


def test_colour_only_where_there_is_a_terminal(ran: Home) -> None:
    for args in (["--help"], ["run", "--plain"], ["show"], ["doctor"]):
        done = ran.hocket(*args)
        assert "\x1b" not in done.out + done.err


def test_characters_that_the_terminal_does_not_know(home: Home) -> None:
    home.write("a: {command: [echo, 'Grüße ✓']}")
    env = {"PYTHONIOENCODING": "ascii", "LANG": "C", "PYTHONUTF8": "0"}
    done = home.hocket("run", "--quiet", env=env)
    assert (done.status, done.out) == (0, "Gr\\xfc\\xdfe \\u2713\n")
    done = home.hocket("show", env=env)
    assert done.status == 0 and "\\u2713 a" in done.out


def test_inputs_come_as_text_json_and_files(home: Home) -> None:
    home.put("in.txt", "from a file")
    home.write(
        "a: {command: [echo, '{{inputs.t}}|{{inputs.j.x}}|{{inputs.f}}|{{inputs.d}}']}",
        plan="inputs: {t: {}, j: {}, f: {}, d: {default: 7}}",
    )
    done = home.ok("run", "-q", "-i", "t=a=b", "--input", 'j:={"x": [1]}', "-i", "f=@in.txt")
    assert done.out == "a=b|[1]|from a file|7\n"


def test_a_bug_is_said_to_be_one(home: Home) -> None:
    """An error that nobody foresaw keeps its traceback and has a status of its own."""
    code = (
        "import sys, hocket.cli.look as look, hocket.cli.main as main\n"
        "def broken(*args): raise ZeroDivisionError('oops')\n"
        "look.Engine = broken\n"
        "sys.exit(main.main(['runs']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=home.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "ZeroDivisionError: oops" in done.stderr
    assert "this is a bug in Hocket; please report it" in done.stderr
