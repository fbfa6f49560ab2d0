"""Marks a parameter whose default its help names."""

from __future__ import annotations

from typing import Final

from cyclopts import Parameter

SHOWN: Final = Parameter(show_default=True)
