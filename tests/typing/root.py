"""What a type checker sees of the root package."""

from typing import assert_type

import hocket

assert_type(hocket.__version__, str)
