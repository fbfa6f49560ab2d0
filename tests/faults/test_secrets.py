"""A canary in Hocket's environment is found nowhere that it was not sent on purpose."""

import sqlite3
from pathlib import Path

from tests.cli.kit import Home

CANARIES = {
    "OPENAI_API_KEY": "canary-openai-7f3a",
    "ANTHROPIC_API_KEY": "canary-anthropic-7f3a",
    "GITHUB_TOKEN": "canary-github-7f3a",
    "SOMETHING": "canary-something-7f3a",
    "ASKED_FOR": "canary-asked-7f3a",
}
MARK = "canary-"

STEPS = """
env: {command: [env]}
asked: {shell: 'test -n "$ASKED_FOR" && echo got it', env_pass: [ASKED_FOR]}
bad: {shell: 'echo problem >&2; exit 3', on_failure: skip}
model: {agent: gpt, prompt: hi, on_failure: skip, retry: 0}
ok: {approve: 'Go on?'}
called: {call: 'steps:raises', on_failure: skip}
"""
HEAD = """
models: {m: {id: 'openai:gpt-5.2', base_url: 'http://127.0.0.1:9/v1', key_env: OPENAI_API_KEY}}
agents: {gpt: {model: m}}
"""
FUNCTION = """
def raises():
    raise ValueError("no luck")
"""


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_canary_is_in_the_state_folder_the_output_or_a_child_that_did_not_ask(
    home: Home,
) -> None:
    home.env.update(CANARIES)
    home.put("steps.py", FUNCTION)
    home.write(STEPS, head=HEAD)
    said = []
    said.append(home.hocket("run", "--id", "r", "--no-wait"))
    assert said[0].status == 3, said
    # While its journal's log is not merged yet, and once it is.
    files = everything_in(home.state)
    for args in (
        ["approve", "r", "--yes"],
        ["resume", "r", "--jsonl"],
        ["show", "r"],
        ["show", "r", "--json"],
        ["show", "r", "env"],
        ["logs", "r"],
        ["logs", "r", "env"],
        ["logs", "r", "bad"],
        ["logs", "r", "--jsonl"],
        ["runs", "--json"],
        ["doctor"],
        ["doctor", "--json"],
        ["check"],
    ):
        said.append(home.hocket(*args))
    files |= everything_in(home.state)
    found = [path for path, data in files.items() if MARK.encode() in data]
    assert found == []
    assert [done for done in said if MARK in done.out or MARK in done.err] == []
    # The search sees what is there: the names of variables are no secrets, and PATH is passed on.
    assert "PATH=" in home.ok("show", "r", "env").out
    assert home.ok("show", "r", "asked").out == "got it\n"
    assert "OPENAI_API_KEY" in home.ok("doctor").out


def test_the_search_would_find_one_that_was_written(home: Home) -> None:
    home.env.update(CANARIES)
    home.write("a: {shell: 'echo \"$ASKED_FOR\"', env_pass: [ASKED_FOR]}")
    home.ok("run", "--id", "r")
    assert any(MARK.encode() in data for data in everything_in(home.state).values())
    db = sqlite3.connect(home.state / "journal.sqlite")
    rows = db.execute("SELECT data FROM events").fetchall()
    db.close()
    assert any(MARK in row[0] for row in rows)


def test_the_state_folder_is_for_its_user_alone(home: Home) -> None:
    home.write("a: {shell: 'echo hi; echo x > out.txt', files: [out.txt]}")
    home.ok("run", "--id", "r")
    assert home.state.stat().st_mode & 0o077 == 0


def test_a_key_in_the_file_is_refused(home: Home) -> None:
    home.write("a: {command: [env], env: {OPENAI_API_KEY: sk-canary}}")
    done = home.hocket("run")
    assert done.status == 2
    assert "looks like a secret" in done.err
    assert "sk-canary" not in done.err
