"""A language agent joins a population between two ticks: it reads a summary, and sets a preference.

python examples/population/joined.py            asks a scripted agent
python examples/population/joined.py local      asks the embedded demo model (the extra local)
"""

import sys
from pathlib import Path
from typing import Literal, TypedDict

from hocket import Agent, Plan, run_sync
from hocket.population import Group, Population, SampledWorld, load_model


class Wish(TypedDict):
    look_for: Literal["food", "water", "home"]


LEADERS = {
    "scripted": Agent("leader", scripted={"replies": [{"output": {"look_for": "water"}}]}),
    "local": Agent("leader", local="smollm2-135m"),
}

# A plan of one step: the engine sees to retries, limits and the journal.
joining = Plan("joining", inputs=["seen", "mood"])
wish = joining.step(
    "wish",
    LEADERS[sys.argv[1] if len(sys.argv) > 1 else "scripted"],
    """Ants smell: {{inputs.seen}}
Hungry ants look for food. Thirsty ants look for water. Tired ants look for home.
The ants are {{inputs.mood}}. They look for
""",
    output=Wish,
)


def main() -> None:
    model = load_model(Path(__file__).parent / "colony.gmn")
    colony = Population([Group(name="ants", model=model, agents=400)], SampledWorld(model))
    ants = colony.slots("ants")

    colony.run(40)
    before = ants.summary()["seen"]["smell"]
    thing = run_sync(joining, seen=before, mood="thirsty")[wish]["look_for"]
    ants.set_preferences({thing: 3})
    colony.run(40)
    after = ants.summary()["seen"]["smell"]
    print(f"Told to look for {thing}: {before[thing]:.0%} smelled it then, {after[thing]:.0%} now.")


if __name__ == "__main__":
    main()
