"""Commands that cannot be done: each says why in a line, and ends with its status."""

import pytest
from tests.cli.kit import Home

from hocket.cli.main import main

# A succeeded run r-1, another r-2, and a file with one plan that takes an optional input.
COMMANDS: list[tuple[str, int, str]] = [
    ("bogus", 2, 'Unknown command "bogus"'),
    ("rum", 2, 'Did you mean "run"?'),
    ("run --bogus", 2, "Unknown option: --bogus"),
    ("run --imput x=y", 2, "Did you mean --input?"),
    ("run a b c", 2, "c"),
    ("run nope", 2, "hocket.yaml: there is no plan 'nope'; there are p"),
    ("run q", 2, "there is no plan 'q'"),
    ("run nope.yaml", 2, "nope.yaml: there is no such file"),
    ("run .", 2, "this is a folder, not a file"),
    ("run hocket.yaml nope", 2, "there is no plan 'nope'"),
    ("run --max-parallel 0", 2, 'Invalid value "0" for --max-parallel. Must be >= 1.'),
    ("run --max-parallel x", 2, "Invalid value for --max-parallel"),
    ("run --seed x", 2, "Invalid value for --seed"),
    ("run --json --jsonl", 2, "--json and --jsonl exclude each other"),
    ("run --id r-1", 2, "there is a run r-1 already: take it up with hocket resume r-1"),
    ("run --id last", 2, "'last' cannot be a run's id"),
    ("run --id ../x", 2, "'../x' cannot be a run's id"),
    ("run -i", 2, "-i requires an argument"),
    ("run -i name", 2, "--input 'name': write NAME=TEXT, NAME:=JSON or NAME=@FILE"),
    ("run -i =x", 2, "--input '=x': write NAME=TEXT"),
    ("run -i naem=x", 2, "plan 'p' has no input 'naem'; did you mean 'name'?"),
    ("run -i name:={", 2, "--input 'name:={': that is not JSON"),
    ("run -i name=@nix", 2, "cannot read nix: No such file or directory"),
    ("run -i name=@.", 2, "cannot read .: Is a directory"),
    ("run -i name=@latin", 2, "latin is not UTF-8 text; give its path"),
    ("run -i name=a -i name=b", 2, "--input 'name' is given twice"),
    ("run needy.yaml", 2, "plan 'p' needs the input 'name'"),
    ("check nope.yaml", 2, "nope.yaml: there is no such file"),
    ("check hocket.yaml nope", 2, "there is no plan 'nope'"),
    ("init .", 2, "hocket.yaml is there already; --force writes over it"),
    ("init x --template y", 2, "there is no template 'y'; there are"),
    ("init x --template comands", 2, "did you mean 'commands'?"),
    ("init hocket.yaml", 2, "cannot write into hocket.yaml"),
    ("show nix", 2, "there is no run 'nix'; the newest are r-2, r-1"),
    ("show r-", 2, "'r-' could be r-2, r-1; write more of it"),
    ("show r-1 nix", 2, "there is no step 'nix'"),
    ("show r-1 a/7", 2, "step 'a' has no items"),
    ("show r-1 a --save out", 2, "this step's output has no files"),
    ("logs nix", 2, "there is no run 'nix'"),
    ("logs r-1 nix", 2, "run r-1 has no call of a step 'nix' yet"),
    ("ask", 2, "requires"),
    ("run keyless.yaml", 2, "agent ada: the variable OPENAI_API_KEY is not set"),
    ("check hocket.yaml team.yaml", 2, "team.yaml: a file is checked by itself; a second word"),
    ("ask why", 2, "hocket.yaml has no agent that can speak: say who, by --agents"),
    ("ask why --agents bob", 2, "there is no agent 'bob'; hocket.yaml has no agents; a model"),
    ("ask why --agents ad", 2, "there is no agent 'ad'"),
    (
        "ask why --file team.yaml --agents ada,",
        2,
        "'' names no agent: write NAME, NAME*3",
    ),
    ("ask why --agents ada*0", 2, "an agent takes part 1 to 100 times"),
    ("ask why --agents ada --file nope.yaml", 2, "nope.yaml: there is no such file"),
    ("ask why --file team.yaml --agents ad*2", 2, "did you mean 'ada'?"),
    ("ask why --file team.yaml --agents ada*2 --policy x", 2, 'Choose from: "once"'),
    ("ask why --file team.yaml --agents ada*2 --decide x", 2, "--decide: "),
    ("ask why --file team.yaml --agents ada*2 --batch 5q", 2, "--batch: '5q' is not a duration"),
    ("ask why --file team.yaml --agents ada*2 --quorum 3", 2, "quorum 3 of 2 members"),
    ("ask why --file team.yaml --agents ada*2 --presenter x", 2, "there is no agent 'x'"),
    ("ask why --file team.yaml --agents ada*2 --presenter ada*2", 2, "is more than one agent"),
    ("ask why --file team.yaml --agents ada*2 --limit x.requests=1/s", 2, "'x'"),
    ("ask why --file team.yaml --agents ada*2 --json --jsonl", 2, "exclude each other"),
    ("ask --bogus", 2, "unknown option --bogus; a text that begins so is read from stdin"),
    ("ask why --agents openai:gpt-5.2*2", 2, "the variable OPENAI_API_KEY is not set"),
    ("panel why --agents ada", 2, "--synthesis"),
    ("panel why --file team.yaml --agents ada --synthesis x", 2, "there is no agent 'x'"),
    ("panel why --file team.yaml --agents ada --synthesis ada --quorum 9", 2, "9"),
    ("review nope --file team.yaml", 2, "cannot read nope: No such file or directory"),
    ("review . --file team.yaml", 2, "cannot read .: Is a directory"),
    ("review latin --file team.yaml", 2, "latin is not UTF-8 text"),
    ("review --bogus", 2, "unknown option --bogus"),
    ("review hocket.yaml --file team.yaml --threshold 2", 2, "--threshold: "),
    ("review hocket.yaml --file team.yaml --swarm 0", 2, "--swarm: "),
    ("import", 2, "requires"),
    ("import crewai x", 2, '"massgen"'),
    ("import massgen nope", 2, "nope cannot be read: No such file or directory"),
    ("import massgen hocket.yaml", 2, "this is no MassGen configuration"),
    ("import massgen latin", 2, "latin:1:"),
    ("resume nix", 2, "there is no run 'nix'"),
    ("resume r-1", 2, "run r-1 has ended: succeeded"),
    ("resume", 2, "requires"),
    ("pause nix", 2, "there is no run 'nix'"),
    ("pause r-1", 2, "no process is running that run"),
    ("cancel r-1", 2, "the run has succeeded already"),
    ("approve r-1", 2, "run r-1 does not wait for approval; it has succeeded"),
    ("approve r-1 a --yes", 2, "step 'a' of run r-1 does not wait for approval"),
    ("send r-1 a x", 2, "run r-1 has ended: succeeded"),
    ("send r-1", 2, "requires"),
    ("retry r-1", 2, "a retry is for a failed step"),
    ("retry r-1 a", 2, "a retry is for a failed step"),
    ("prune", 2, "say which runs, or how old: hocket prune --older-than 30d"),
    ("prune --older-than 3x", 2, "--older-than: '3x' is not a duration"),
    ("prune nix", 2, "there is no run 'nix'"),
    ("prune --answers nix", 2, "--answers is about kept answers alone; prune runs without it"),
    ("prune --answers --older-than 3x", 2, "--older-than: '3x' is not a duration"),
    ("runs --limit x", 2, "Invalid value for --limit"),
]


_KEYLESS = """
version: 1
agents: {ada: {model: "openai:gpt-5.2"}}
plans:
  p:
    steps:
      before: {command: [touch, before]}
      asked: {agent: ada, prompt: Hi, needs: [before]}
"""
_NOTHING = "plans: {p: {steps: {a: {command: [echo]}}}}\n"


def test_each_says_why_and_ends_with_its_status(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write("a: {command: [echo, '{{inputs.name}}']}", plan="inputs: {name: {default: x}}")
    home.write("a: {command: [echo, x]}", plan="inputs: {name: {}}", name="needy.yaml")
    home.put("team.yaml", "version: 1\nagents: {ada: {scripted: {}}}\n" + _NOTHING)
    home.put("keyless.yaml", _KEYLESS)
    home.file("latin").write_bytes(b"gr\xfc\xdfe")
    home.ok("run", "--id", "r-1")
    home.ok("run", "--id", "r-2")
    before = len(home.events("r-1"))
    # In this process, for the sake of time; others tests see to the statuses of real ones.
    monkeypatch.chdir(home.folder)
    monkeypatch.setenv("HOCKET_HOME", str(home.state))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    wrong = []
    for line, status, words in COMMANDS:
        found = main(line.split())
        out, err = capsys.readouterr()
        lines = err.strip().splitlines()
        fits = words in err and not out and "Traceback" not in err and 1 <= len(lines) <= 3
        if found != status or not fits:
            wrong.append((line, found, out, err))
    assert wrong == []
    assert len(home.events("r-1")) == before
    assert sorted(path.name for path in home.folder.iterdir()) == [
        "hocket.yaml",
        "keyless.yaml",
        "latin",
        "needy.yaml",
        "team.yaml",
    ]


def test_who_has_no_file_is_told_how_to_begin(home: Home) -> None:
    for args in (["run"], ["check"]):
        assert "hocket init writes one to begin with" in home.hocket(*args).err


def test_check_tells_all_on_one_stream_and_counts_what_is_there(home: Home) -> None:
    home.put("keyless.yaml", _KEYLESS)
    home.write("a: {command: [echo, x]}")
    assert home.hocket("check", "keyless.yaml").out.splitlines() == [
        "keyless.yaml: plan p: 2 steps, longest chain 2, 1 agent",
        "  missing: agent ada: the variable OPENAI_API_KEY is not set",
        "no mistakes in the file, but 1 thing that runs need is missing",
    ]
    able = home.hocket("check", "keyless.yaml", env={"OPENAI_API_KEY": "x"})
    assert able.out.endswith("\nno mistakes\n")
    alone = home.ok("check").out.splitlines()
    assert alone == ["hocket.yaml: plan p: 1 step, longest chain 1", "no mistakes"]


def test_mistakes_are_data_for_programs(home: Home) -> None:
    home.write("a: {command: git log}\nb: {comand: [x]}")
    done = home.hocket("check", "--json")
    assert (done.status, done.err) == (2, "")
    first, second = done.data["mistakes"]
    assert first == {
        "file": "hocket.yaml",
        "line": first["line"],
        "column": first["column"],
        "message": "command: must be a list, not the text 'git log'",
        "hint": "write shell: git log",
    }
    text = home.file("hocket.yaml").read_text().splitlines()
    assert text[first["line"] - 1][first["column"] - 1 :].startswith("git log")
    assert "did you mean 'command'" in second["hint"]
    (none,) = home.hocket("check", "nope.yaml", "--json").data["mistakes"]
    assert (none["file"], none["line"]) == ("nope.yaml", None)
    assert none["message"] == "there is no such file"


def test_no_command_at_all_shows_the_help(home: Home) -> None:
    assert "Usage: hocket COMMAND" in home.ok().out


@pytest.mark.parametrize("command", ["runs", "doctor"])
def test_looking_makes_no_journal(home: Home, command: str) -> None:
    assert home.hocket(command).status == 0
    assert not (home.state / "journal.sqlite").exists()
