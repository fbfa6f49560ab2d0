"""How data comes to stdout: as it is for programs, and harmless for a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

from hocket.core.values import Json
from hocket.report.text import clean


def pretty(value: Any) -> str:
    """Write JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def print_output(output: Json) -> None:
    """Print an output: a text as it is, anything else as JSON.

    On a terminal a text's escape sequences are left out: whoever made it may not be trusted.
    """
    text = output if isinstance(output, str) else pretty(output)
    print(clean(text) if sys.stdout.isatty() else text)
