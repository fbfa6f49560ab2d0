"""``python -m hocket.population.bench.child MEASUREMENT OPTIONS``: takes it, and prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from hocket.population.bench.memory import measure_resident
from hocket.population.bench.precision import measure_precision
from hocket.population.devices import prepare

MEASUREMENTS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "resident": measure_resident,
    "precision": measure_precision,
}


def main() -> None:
    """Take the measurement that the command line names."""
    options: dict[str, Any] = json.loads(sys.argv[2])
    prepare(options.pop("devices", None), options.pop("platform", None))
    print(json.dumps(MEASUREMENTS[sys.argv[1]](**options)))


if __name__ == "__main__":
    main()
