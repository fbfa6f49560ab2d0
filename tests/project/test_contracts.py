"""The order of the rooms holds, and the contract that says so would notice if it did not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Judge the package under `folder`, which must win over the installed one."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_import_contract_is_kept() -> None:
    done = lint(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/broken.py", "import random\n", "Pure rooms"),
        ("insight/broken.py", "from hocket import workflows\n", "Imports run one way"),
        ("agents/broken.py", "from hocket import journal\n", "Imports run one way"),
        ("report/broken.py", "from hocket import app\n", "Imports run one way"),
        ("cluster/broken.py", "import jax\n", "JAX stays"),
        ("app/broken.py", "import ray\n", "Ray stays"),
        ("server/broken.py", "import asyncpg\n", "PostgreSQL's driver stays"),
        ("broken/__init__.py", "", "Imports run one way"),
    ],
    ids=[
        *("clock-or-chance", "sideways", "sideways-adapters", "upwards"),
        *("jax", "ray", "asyncpg", "undeclared-room"),
    ],
)
def test_an_import_that_breaks_the_order_is_noticed(
    tmp_path: Path, module: str, line: str, contract: str
) -> None:
    shutil.copytree(ROOT / "src" / "hocket", tmp_path / "hocket")
    path = tmp_path / "hocket" / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(line, "utf-8")
    done = lint(tmp_path)
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert [line for line in broken if line.startswith(contract)] == broken
    assert len(broken) == 1
