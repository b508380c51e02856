"""Vectors of substamps lie in blocks of the size of an image, and nothing shows of where they lie."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hotpants_cy import HotpantsConfig, subtract
from hotpants_cy.datasets import make_pair
from hotpants_cy.kernel import vectors
from hotpants_cy.kernel.vectors import Vectors
from hotpants_cy.memory import Memory

SHAPE = 49, 961                # of a substamp: basis functions and pixels
ONE = 49 * 961 * 8             # bytes


def test_all_substamps_have_their_place():
    found = Vectors(100, SHAPE, 40 * ONE)
    for which, inside, rows, block in found.blocks_of(np.arange(100, dtype=np.int32)):
        assert_array_equal(np.arange(100)[rows][inside], which)
        block[inside, 0, 0] = which
    assert [found[k][0, 0] for k in range(100)] == list(range(100))


def test_slots_come_in_any_order_and_only_blocks_with_some_of_them():
    slots = np.array([93, 2, 41, 1], np.int32)
    blocks = Vectors(100, SHAPE, 40 * ONE).blocks_of(slots)
    found = [(slots[which].tolist(), inside.tolist()) for which, inside, *_ in blocks]
    assert found == [([2, 1], [2, 1]), ([41], [1]), ([93], [13])]


def test_images_fit_where_blocks_were():
    image = np.empty((1024, 4096), np.float32)
    (memory, *_) = Vectors(100, SHAPE, image.nbytes).memory
    assert np.shares_memory(Memory(memory).take(image.shape), memory)


def test_no_substamps_need_no_memory():
    found = Vectors(0, SHAPE, ONE)
    assert found.memory == []
    assert list(found.blocks_of(np.array([], np.int32))) == []


@pytest.mark.parametrize('settings', [{'force_convolve': 't'}, {'force_convolve': 'b'},
                                      {'weights': True, 'robust': 'tukey'}],
                         ids=['one direction', 'both', 'weighted'])
def test_results_do_not_depend_on_the_blocks(monkeypatch, settings):
    pair, config = make_pair((256, 256), seed=3, n_stars=60), HotpantsConfig(nstampx=6, nstampy=6, **settings)
    results = []
    for length in 1000, 5:
        monkeypatch.setattr(vectors, 'FEWEST', length)
        results.append(subtract(pair.science, pair.template, config=config))
    whole, parts = results
    assert len(whole.substamps) > 5
    assert_array_equal(parts.difference.data, whole.difference.data)
    assert_array_equal(parts.kernel.solution, whole.kernel.solution)
