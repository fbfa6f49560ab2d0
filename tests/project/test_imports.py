"""What a user waits for before anything happens: measured as CPU time of a child, not as delay."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pydantic_ai", "openai", "jax", "matplotlib", "ray", "asyncpg"}
IMPORT = [sys.executable, "-c", "import hocket"]
HELP = [sys.executable, str(Path(sys.executable).with_name("hocket")), "--help"]


def missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


needs_cli = pytest.mark.skipif(missing("hocket.cli.main"), reason="there is no command yet")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Bytecode is kept between the tries, as it is for a user."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(tmp_path)}


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"{command} failed"
    return usage.ru_utime + usage.ru_stime


def best(command: list[str], environment: dict[str, str]) -> float:
    """The best of five: what else the machine does can only add."""
    return min(cpu_seconds(command, environment) for _ in range(5))


def imported(command: list[str]) -> set[str]:
    """The top-level packages that a command imports."""
    timed = [command[0], "-X", "importtime", *command[1:]]
    done = subprocess.run(timed, check=True, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def test_importing_hocket_is_quick(environment: dict[str, str]) -> None:
    assert best(IMPORT, environment) <= 0.15


@needs_cli
def test_asking_for_help_is_quick(environment: dict[str, str]) -> None:
    assert best(HELP, environment) <= 0.25


def test_importing_hocket_leaves_heavy_packages_alone() -> None:
    names = imported(IMPORT)
    assert "hocket" in names
    assert names & HEAVY == set()


@needs_cli
def test_asking_for_help_leaves_heavy_packages_alone() -> None:
    names = imported(HELP)
    assert "hocket" in names
    assert names & HEAVY == set()


CALLS = """
import sys
import hocket

def loaded():
    return "jsonschema" in sys.modules

plan = hocket.Plan("p")
before = plan.call("before", loaded)
plan.command("one", ["echo", "a"], lines=LINES, needs=[before])
plan.returns(before)
print(hocket.run_sync(plan).output, "jsonschema" in sys.modules)
"""


@pytest.mark.parametrize("lines", [False, True])
def test_no_call_waits_for_what_outputs_are_checked_with(lines: bool, tmp_path: Path) -> None:
    """It is imported before the first call begins, and only if an output has to fit a schema."""
    script = tmp_path / "calls.py"
    script.write_text(CALLS.replace("LINES", str(lines)))
    environment = os.environ | {"HOCKET_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, str(script)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [str(lines)] * 2, done.stderr
