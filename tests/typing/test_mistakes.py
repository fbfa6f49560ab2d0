"""The mistakes of `mistakes.py` are found with the messages that it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"  # type: ignore\[([\w-]+)\]  # (.+)$")


@pytest.mark.slow
def test_each_mistake_is_found_with_its_message(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    lines = (ROOT / "tests/typing/mistakes.py").read_text("utf-8").splitlines()
    expected = {
        number: (match[1], match[2])
        for number, line in enumerate(lines, 1)
        if (match := MARK.search(line))
    }
    assert len(expected) >= 10
    bare = tmp_path / "bare.py"
    bare.write_text("\n".join(MARK.sub("", line) for line in lines) + "\n", "utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--no-pretty"),
            *("--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(bare)),
        ],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        if match := re.search(r"bare\.py:(\d+): error: (.*)", line):
            found.setdefault(int(match[1]), []).append(match[2])
    missing = [
        f"line {number}: {message!r} [{code}] not in {found.get(number)}"
        for number, (code, message) in expected.items()
        if not any(message in text and f"[{code}]" in text for text in found.get(number, []))
    ]
    assert missing == []
    assert set(found) == set(expected)
