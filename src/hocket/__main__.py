"""``python -m hocket`` is the same as ``hocket``."""

from hocket.cli.main import entry

entry()
