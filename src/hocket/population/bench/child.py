"""``python -m hocket.population.bench.child MEASUREMENT OPTIONS``: takes it, and prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from hocket.population.bench.memory import measure_resident
from hocket.population.bench.precision import measure_precision
from hocket.population.bench.spread import measure_spread
from hocket.population.devices import prepare
from hocket.population.distributed import connect, leads
from hocket.population.place import my_place

MEASUREMENTS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "resident": measure_resident,
    "precision": measure_precision,
    "spread": measure_spread,
}


def main() -> None:
    """Take the measurement that the command line names."""
    options: dict[str, Any] = json.loads(sys.argv[2])
    devices, platform = options.pop("devices", None), options.pop("platform", None)
    if (place := my_place()) is not None:
        connect(place, devices, platform)
    else:
        prepare(devices, platform)
    found = MEASUREMENTS[sys.argv[1]](**options)
    if leads():
        print(json.dumps(found))


if __name__ == "__main__":
    main()
