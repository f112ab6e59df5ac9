"""The table of configurations is complete: it lists the engine's cells, all of them and no other."""

import pytest

import rnnrs
from cases import CellCase
from configurations import CELLS


def test_every_cell_of_the_engine_is_listed():
    assert {configuration.cell for configuration in CELLS} == set(rnnrs._core.cells())


def test_every_configuration_is_listed_once():
    names = [configuration.name for configuration in CELLS]
    assert len(names) == len(set(names))


def test_a_stack_with_timestamps_is_refused():
    cell = rnnrs.cells.CTRNN(3, 4, timestamps=True)
    assert rnnrs.Recurrent(cell, bidirectional=True).num_layers == 1
    with pytest.raises(rnnrs.UnsupportedError, match="timestamps in the first layer alone"):
        rnnrs.Recurrent(cell, num_layers=2)


@pytest.mark.parametrize("configuration", [c for c in CELLS if not c.drops], ids=lambda c: c.name)
def test_where_no_product_sees_the_state_recurrent_dropout_is_refused(configuration):
    sizes = {"input_size": configuration.input_size(3), "hidden_size": configuration.hidden_size(4)}
    with pytest.raises(rnnrs.UnsupportedError, match="recurrent_dropout"):
        CellCase(configuration=configuration, **sizes, recurrent_dropout=0.5).make()
