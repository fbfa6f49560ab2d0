"""Sums a model up, for people and programs: how large it is, and what it takes."""

from __future__ import annotations

from math import prod
from typing import Any, Final

from hocket.population.model import Model
from hocket.population.transitions import Dense, Grid, Lists, Transition

_FLOAT: Final = 4
"""Bytes of a number on a device."""


def sums_of(model: Model) -> dict[str, Any]:
    """Say how large a model is; plain values, ready for JSON.

    Memory is in bytes on a device with 32-bit floats: what the model takes as it is kept, what it
    would take with every transition as a table, and what each agent's belief takes.
    """
    factors = [_name(model.names.factors, f) for f in range(len(model.B))]
    modalities = [_name(model.names.modalities, m) for m in range(len(model.A))]
    tables = [_table(model, f) for f in range(len(model.B))]
    numbers = sum(array.size for array in (*model.A, *model.C, *model.D, model.E))
    rest = (numbers + model.policies.size) * _FLOAT
    return {
        "factors": [
            {
                "name": factors[f],
                "states": move.states,
                "actions": move.actions,
                "kept_as": _kept(move),
                "depends_on": [factors[other] for other in model.B_dependencies[f]],
            }
            for f, move in enumerate(model.B)
        ],
        "modalities": [
            {
                "name": modalities[m],
                "observations": count,
                "depends_on": [factors[f] for f in model.A_dependencies[m]],
            }
            for m, count in enumerate(model.observations)
        ],
        "policies": {"count": len(model.policies), "steps": model.horizon},
        "inference": model.inference,
        "memory": {
            "kept": rest + sum(move.nbytes for move in model.B),
            "as_tables": rest + sum(tables),
            "belief": sum(model.states) * _FLOAT,
        },
    }


def _table(model: Model, factor: int) -> int:
    """What a factor's transition takes as a table, in bytes."""
    move = model.B[factor]
    others = prod(model.states[other] for other in model.B_dependencies[factor])
    return move.states * others * move.actions * _FLOAT


def _kept(move: Transition) -> str:
    match move:
        case Dense():
            return "a table"
        case Lists():
            return f"lists of {move.next.shape[2]}"
        case Grid():
            return f"moves on a grid of {move.height} × {move.width}"


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if names else str(number)
