"""Commands: what goes into a program, what comes out, and what is refused."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.agents.context import FakeContext, request, started

from hocket.agents.base import Reply
from hocket.agents.command import CommandAgent
from hocket.core.errors import AgentError, SpecError
from hocket.core.specs import AgentSpec
from hocket.core.values import FileRef

ARGV = "import sys, json; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
ECHO = [sys.executable, "-I", "-S", "-c", ARGV]


def command(*argv: str, **options: Any) -> CommandAgent:
    if argv:
        options["command"] = list(argv)
    spec = AgentSpec(kind="command", options=options)
    return CommandAgent("c", spec, state=Path(), live={})


def sh(script: str, **options: Any) -> CommandAgent:
    return command("/bin/sh", "-c", script, **options)


def call(
    agent: CommandAgent, input: Any = None, context: FakeContext | None = None, **more: Any
) -> Reply:
    return asyncio.run(agent.call(request(input, **more), context or FakeContext()))


def fails(agent: CommandAgent, input: Any = None, **more: Any) -> Any:
    with pytest.raises(AgentError) as caught:
        call(agent, input, **more)
    return caught.value.fault


# ---- what goes in ----


@pytest.mark.parametrize(
    ("fixed", "input", "seen"),
    [
        ([], None, [[], ""]),
        ([], "hello", [[], "hello"]),
        (["-p", "{prompt}", "x"], "hello", [["-p", "hello", "x"], ""]),
        (["{prompt}"], None, [[""], ""]),
        (["a{prompt}"], "hello", [["a{prompt}"], "hello"]),
        (
            ["-n"],
            {"args": ["a", 1, True, {"k": [1]}], "stdin": "in"},
            [["-n", "a", "1", "true", '{"k":[1]}'], "in"],
        ),
        (["{prompt}"], {"args": ["z"], "stdin": "in"}, [["in", "z"], ""]),
        ([], {"stdin": {"k": 1}}, [[], '{"k":1}']),
        (["--"], {"args": ["-rf"]}, [["--", "-rf"], ""]),
        (["--", "{prompt}"], "-rf", [["--", "-rf"], ""]),
        ([], {"args": ["$(id); `id` && *"]}, [["$(id); `id` && *"], ""]),
    ],
)
def test_the_input_becomes_arguments_and_standard_input(
    fixed: list[str], input: Any, seen: Any
) -> None:
    assert call(command(*ECHO, *fixed, output="json"), input).output == seen


@pytest.mark.parametrize(
    ("fixed", "input", "says"),
    [
        ([], {"args": ["--output=/etc/passwd"]}, "argument 1 begins with '-'"),
        (["{prompt}"], "-rf", "the prompt begins with '-'"),
        (["{prompt}", "--"], "-rf", "would be an option"),
        ([], {"args": [None]}, "argument 1 is null"),
        ([], {"args": "x"}, "args (a list)"),
        ([], {"arg": []}, "args (a list)"),
        ([], [1], "args (a list)"),
        ([], {"args": ["a\0b"]}, "NUL"),
    ],
)
def test_input_that_is_no_data_is_refused(fixed: list[str], input: Any, says: str) -> None:
    fault = fails(command(*ECHO, *fixed), input)
    assert fault.kind == "permanent"
    assert says in fault.message


def test_dashes_can_be_allowed() -> None:
    agent = command(*ECHO, "{prompt}", allow_dashes=True, output="json")
    assert call(agent, {"args": ["-x"], "stdin": "-y"}).output == [["-y", "-x"], ""]


def test_a_shell_runs_only_when_asked_for_and_gets_arguments_as_data() -> None:
    agent = command(command='printf "%s|" "$1" "$2" | cat', shell=True)
    assert call(agent, {"args": ["$(id)", "x y"]}).output == "$(id)|x y|"
    assert "begins with '-'" in fails(agent, {"args": ["-x"]}).message


def test_stored_files_become_paths_and_standard_input(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    (tmp_path / "abc").write_text("content")
    ref = msgspec.to_builtins(FileRef(name="f.txt", digest="abc", size=7))
    assert call(command("cat"), {"args": [ref]}, context).output == "content"
    assert call(command("cat"), {"stdin": ref}, context).output == "content"
    assert call(command("cat"), ref, context).output == "content"
    assert call(command("cat", "{prompt}"), ref, context).output == "content"


# ---- what comes out ----


def test_text_loses_only_its_last_newlines() -> None:
    assert call(sh("printf ' a\\n\\nb \\n\\n'")).output == " a\n\nb "


def test_lines_and_json_are_read() -> None:
    assert call(sh("printf 'a\\nb\\n'", output="lines")).output == ["a", "b"]
    assert call(sh("printf 'a\\fb\\r\\n\\nc'", output="lines")).output == ["a\fb", "", "c"]
    assert call(sh("true", output="lines")).output == []
    assert call(sh("echo '{\"a\": 1}'", output="json")).output == {"a": 1}


def test_a_schema_means_json_and_must_fit() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert call(sh("echo '{\"n\": 1}'"), output=schema).output == {"n": 1}
    assert fails(sh('echo \'{"n": "x"}\''), output=schema).kind == "invalid_output"
    fault = fails(sh("echo hello"), output=schema)
    assert (fault.kind, "not JSON" in fault.message) == ("invalid_output", True)
    assert call(sh("echo hello", output="text"), output={"type": "string"}).output == "hello"


def test_a_cut_is_said_and_cut_json_is_not_read() -> None:
    reply = call(sh("printf 'aaaaaaaaaa'", keep=4))
    assert reply.output == "aaaa"
    assert reply.notes == ("output cut: the first 4 of 10 bytes are kept",)
    assert "longer than keep" in fails(sh("printf '[1,2,3]'", keep=4, output="json")).message


def test_broken_characters_are_noted() -> None:
    reply = call(sh("printf 'a\\377b'"))
    assert reply.output == "a\ufffdb"
    assert "not UTF-8 (first at byte 1)" in reply.notes[0]


@pytest.mark.parametrize(
    ("script", "message", "detail"),
    [
        (
            "echo one >&2; echo 'last line' >&2; exit 2",
            "exit status 2: last line",
            "one\nlast line",
        ),
        ("echo on stdout; exit 1", "exit status 1: on stdout", "on stdout"),
        ("exit 7", "exit status 7", ""),
        ("kill -SEGV $$", "killed by SIGSEGV", ""),
        ("kill -KILL $$", "killed by SIGKILL, often because memory ran out", ""),
        ("exit 137", "exit status 137: killed by SIGKILL, often because memory ran out", ""),
        ("printf '\\033[31mred\\033[0m\\n' >&2; exit 1", "exit status 1: red", "red"),
    ],
)
def test_a_failure_says_how_it_ended_and_its_last_words(
    script: str, message: str, detail: str
) -> None:
    fault = fails(sh(script))
    assert (fault.kind, fault.message, fault.detail) == ("failed", message, detail)


def test_other_exit_statuses_can_mean_success() -> None:
    assert call(sh("echo diff; exit 1", ok=[0, 1])).output == "diff"
    assert fails(sh("exit 0", ok=[1])).message == "exit status 0"


def test_a_missing_program_names_its_neighbour() -> None:
    fault = fails(command("slepp"))
    assert fault.kind == "permanent"
    assert "did you mean 'sleep'" in fault.message


# ---- where it runs ----


def test_a_canary_in_the_environment_reaches_only_who_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canary = "canary-5d1c8a"
    monkeypatch.setenv("OPENAI_API_KEY", canary)
    context = FakeContext()
    reply = call(sh("env; cat /proc/self/environ 2>/dev/null | tr '\\0' '\\n'"), None, context)
    assert canary not in reply.output + context.text() + context.text("err")
    assert "PATH=" in reply.output
    asked = sh("env", env_pass=["OPENAI_API_KEY"], env={"MODE": "x"})
    output = call(asked).output
    assert f"OPENAI_API_KEY={canary}" in output
    assert "MODE=x" in output
    failed = fails(sh("exit 1", env_pass=["OPENAI_API_KEY"]))
    assert canary not in repr(failed)
    assert canary not in repr(fails(command("nope", env_pass=["OPENAI_API_KEY"])))


def test_it_runs_in_its_folder(tmp_path: Path) -> None:
    assert os.path.samefile(call(command("pwd", cwd=str(tmp_path))).output, tmp_path)
    assert "is not there" in fails(command("pwd", cwd=str(tmp_path / "no"))).message


def test_files_are_stored_after_success(tmp_path: Path) -> None:
    context = FakeContext()
    script = (
        "mkdir -p out/deep; echo a > out/a.txt; echo b > out/deep/b.txt; echo c > c; "
        "mkfifo out/p; echo done"
    )
    agent = sh(script, cwd=str(tmp_path), files=["c", "out/**/*"])
    output = call(agent, None, context).output
    assert output["text"] == "done"
    assert list(output["files"]) == ["c", "out/a.txt", "out/deep/b.txt"]
    assert output["files"]["c"] == {
        "$": "file",
        "name": "c",
        "size": 2,
        "digest": output["files"]["c"]["digest"],
    }
    assert fails(sh("exit 1", cwd=str(tmp_path), files=["c"])).message == "exit status 1"


@pytest.mark.parametrize(
    ("script", "pattern", "says"),
    [
        ("true", "missing.txt", "did not make the file 'missing.txt'"),
        ("ln -s /etc/passwd link", "link", "'link' is a symbolic link"),
        ("ln -s /etc/passwd link", "*", "'link' is a symbolic link"),
        ("ln -s /etc etc", "etc/passwd", "'etc' is a symbolic link"),
        ("ln -s /etc etc", "etc/pass*", "'etc' is a symbolic link"),
        ("mkdir folder", "folder", "is not a file"),
        ("mkfifo pipe", "pipe", "is not a file"),
    ],
)
def test_files_that_lead_elsewhere_are_refused(
    tmp_path: Path, script: str, pattern: str, says: str
) -> None:
    fault = fails(sh(script, cwd=str(tmp_path), files=[pattern]))
    assert (fault.kind, says in fault.message) == ("failed", True), fault


def test_a_step_may_change_some_options() -> None:
    agent = sh("pwd; exit 3")
    assert call(agent, options={"ok": [3], "cwd": "/"}).output == "/"
    fault = fails(agent, options={"command": ["id"]})
    assert (fault.kind, "unknown option 'command'" in fault.message) == ("permanent", True)
    assert "leaves the working folder" in fails(agent, options={"files": ["../x"]}).message


def test_cancelling_kills_it_within_its_grace() -> None:
    async def main() -> None:
        context = FakeContext()
        agent = sh("trap '' TERM; echo ready; while :; do sleep 1; done", grace="100ms")
        task = asyncio.create_task(agent.call(request(), context))
        await started(context, "ready")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": ["a"], "shel": True}, "unknown option 'shel'; did you mean 'shell'?"),
        ({}, "option 'command' is missing"),
        ({"command": []}, "the command is empty"),
        ({"command": [""]}, "the command is empty"),
        ({"command": "ls | wc"}, "a command is a list of texts; or set shell: true"),
        ({"command": ["ls"], "shell": True}, "the command is one text"),
        ({"command": "echo {prompt}", "shell": True}, "would let a prompt run commands"),
        ({"command": ["a", 1]}, "expected `str`"),
        ({"command": ["a"], "files": ["/etc/passwd"]}, "leaves the working folder"),
        ({"command": ["a"], "files": ["a/../../b"]}, "leaves the working folder"),
        ({"command": ["a"], "grace": "soon"}, "'soon' is not a duration"),
        ({"command": ["a"], "keep": -1}, "between 0 and quota"),
        ({"command": ["a"], "env": {"API_KEY": "x"}}, "looks like a secret"),
        ({"command": ["a"], "output": "xml"}, "xml"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        command(**options)
    assert says in str(caught.value)
