"""Two devices on the processor for every test."""

from hocket.population.devices import prepare

prepare(2, "cpu")
