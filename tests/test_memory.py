"""Memory is used again when nobody uses it any more, and never before."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hotpants_cy as hp
from hotpants_cy import memory
from hotpants_cy.datasets import make_pair
from hotpants_cy.memory import Memory, free_memory, large_array

LARGE = 512, 1024


@pytest.fixture(autouse=True)
def nothing_spare():
    gc.collect()
    free_memory()


def address(array):
    return array.__array_interface__['data'][0]


def test_memory_of_an_array_that_is_gone_is_used_again():
    first = large_array(LARGE)
    where = address(first)
    del first
    second, third = large_array(LARGE), large_array(LARGE)
    assert address(second) == where
    assert not np.shares_memory(second, third)


def test_a_view_keeps_its_memory():
    array = large_array(LARGE)
    view = array[100:, 5].view(np.int32)
    del array
    assert not np.shares_memory(view, large_array(LARGE))


@pytest.mark.parametrize('dtype', [np.float32, np.int32, bool, float])
def test_arrays_are_like_any_other(dtype):
    array = large_array(LARGE, dtype)
    array[...] = 1
    assert array.shape == LARGE
    assert array.dtype == dtype
    assert all(array.flags[name] for name in ('C_CONTIGUOUS', 'WRITEABLE', 'ALIGNED'))
    assert array.sum() == array.size


def test_small_arrays_are_not_kept():
    small = large_array((10, 10))
    del small
    assert not memory._spare


def test_a_block_serves_what_nearly_fills_it():
    array = large_array((1000, 1000))
    where = address(array)
    del array
    assert address(large_array((900, 1000))) == where


def test_what_is_spare_and_of_no_use_makes_room():
    arrays = [large_array(LARGE), large_array(LARGE)]
    arrays.clear()
    larger = large_array((1000, 1000))
    assert larger.nbytes > 2**21
    assert not memory._spare
    small = large_array((300, 1000))
    del small, larger
    assert len(memory._spare) == 2


def test_no_more_is_kept_than_said(monkeypatch):
    monkeypatch.setattr(memory, 'MOST_SPARE', 5 * 2**20)
    arrays = [large_array(LARGE) for _ in range(5)] + [large_array((4096, 1024))]
    arrays.clear()
    assert sum(block.size for block in memory._spare.values()) == 4 * 2**20


def test_memory_that_is_left_is_cut_into_several_arrays():
    old = np.zeros(LARGE)
    left = Memory(old)
    first, second, third = (left.take(LARGE) for _ in range(3))
    assert [np.shares_memory(array, old) for array in (first, second, third)] == [True, True, False]
    assert not np.shares_memory(first, second)


def test_memory_much_larger_than_an_array_is_left_alone():
    old = np.zeros(LARGE)
    assert not np.shares_memory(Memory(old).take((512, 256)), old)


@pytest.fixture(scope='module')
def pair():
    return make_pair((600, 600), seed=2)


def planes(result):
    image = result.difference
    return image.data, image.uncertainty.array, image.flags, image.mask


def subtract(pair):
    return hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(force_convolve='t', nstampx=6, nstampy=6))


def test_a_result_is_gone_with_the_last_reference_to_it(pair):
    result = subtract(pair)
    parts = [weakref.ref(part) for part in (result, result.difference, result.difference.data, result._hot)]
    gc.disable()
    try:
        del result
        assert [part() for part in parts] == [None] * 4
    finally:
        gc.enable()


def test_results_that_live_share_nothing_and_keep_their_values(pair):
    first = subtract(pair)
    before = [plane.copy() for plane in planes(first)]
    others = [subtract(pair) for _ in range(3)]
    for plane, copy in zip(planes(first), before, strict=True):
        np.testing.assert_array_equal(plane, copy)
        assert not any(np.shares_memory(plane, other) for result in others for other in planes(result))
    for result in others:
        for plane, copy in zip(planes(result), before, strict=True):
            np.testing.assert_array_equal(plane, copy)


def test_what_used_memory_holds_does_not_show(pair):
    """Blocks full of NaN, or of set bits, give what fresh ones do."""
    expected = [plane.copy() for plane in planes(subtract(pair))]
    gc.collect()
    assert memory._spare
    for block in memory._spare.values():
        block[...] = 0xff
    for plane, copy in zip(planes(subtract(pair)), expected, strict=True):
        np.testing.assert_array_equal(plane, copy)


def test_subtractions_in_threads_at_the_same_time_do_not_share_memory(pair):
    expected = [plane.copy() for plane in planes(subtract(pair))]

    def repeated(_):
        return all(np.array_equal(plane, copy, equal_nan=plane.dtype.kind == 'f')
                   for _ in range(2) for plane, copy in zip(planes(subtract(pair)), expected, strict=True))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(repeated, range(8))) == [True] * 8
