"""The table of configurations is complete: it lists the engine's cells, all of them and no other."""

import rnnrs
from configurations import CELLS


def test_every_cell_of_the_engine_is_listed():
    assert {configuration.cell for configuration in CELLS} == set(rnnrs._core.cells())


def test_every_configuration_is_listed_once():
    names = [configuration.name for configuration in CELLS]
    assert len(names) == len(set(names))
