"""The number of threads changes no bit, and threads, forks and objects do not get into each other's way."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hotpants_cy._core.threads import max_threads

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.threads import resolve_threads

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=5, nstampy=5, ko=1)


@pytest.fixture(scope='module')
def pair():
    # odd sides: no chunk of rows is like the others
    return make_pair((263, 301), seed=5, n_transients=4, nan_blocks=[np.s_[100:104, 150:160]])


def planes(pair, n_threads, config=CONFIG):
    result = hp.subtract(pair.science, pair.template, config=config, n_threads=n_threads)
    images = result.difference, result.convolved, result.background
    return [plane for image in images for plane in (image.data, image.uncertainty.array, image.flags)] + [
        result.kernel.solution, np.array(list(result.statistics.values()))]


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.DeconvolutionWarning')
@pytest.mark.parametrize('direction', ['t', 'i', 'b'])
def test_every_number_of_threads_gives_the_same_bits(pair, direction):
    config = CONFIG.replace(force_convolve=direction)
    alone = planes(pair, 1, config)
    assert np.isfinite(alone[0]).mean() > 0.8
    for n_threads in (2, 3, 4, 7, None):
        assert same(planes(pair, n_threads, config), alone), n_threads


def test_more_threads_than_rows_do_no_harm(pair):
    assert same(planes(pair, 1000), planes(pair, 1))


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.DeconvolutionWarning')
def test_two_subtractions_at_once_give_what_each_gives_alone(pair):
    other = make_pair((280, 260), seed=6, n_transients=4)
    configs = [CONFIG, CONFIG.replace(force_convolve='i', ko=2, rkernel=5)]
    alone = [planes(p, 2, c) for p, c in zip((pair, other), configs, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [(k, pool.submit(planes, (pair, other)[k], 2, configs[k])) for k in (0, 1) * 4]
        assert all(same(job.result(timeout=60), alone[k]) for k, job in jobs)


def test_a_kernel_is_applied_alike_by_any_number_of_threads(pair):
    kernel = hp.subtract(pair.science, pair.template, config=CONFIG).kernel
    one, three = (kernel.apply(pair.template.data, background=True, n_threads=n) for n in (1, 3))
    assert one.tobytes() == three.tobytes()


@pytest.mark.parametrize('start', ['os.fork', 'multiprocessing'])
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='this system has no fork')
def test_a_forked_child_of_a_process_that_used_threads_finishes_with_the_same_numbers(start):
    # in a process of its own: Python warns about a fork where pytest's own threads run
    script = f'''
import multiprocessing, os, sys
import numpy as np
import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
pair = make_pair((240, 240), seed=5, n_transients=0)
def digest(_=None):
    result = hp.subtract(pair.science, pair.template, n_threads=2,
                         config=hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=0))
    return hash(result.difference.data.tobytes()), hash(result.difference.uncertainty.array.tobytes())
parent = digest()
if {start!r} == 'os.fork':
    child = os.fork()
    if child == 0:
        os._exit(0 if digest() == parent else 7)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with multiprocessing.get_context('fork').Pool(2) as pool:
    sys.exit(0 if pool.map(digest, range(4)) == [parent] * 4 else 7)
'''
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('n_threads', [0, -1, 1.5, 2.0, True, False, '2', np.nan, [2]])
def test_what_is_no_positive_whole_number_of_threads_is_refused(pair, n_threads):
    for call in (hp.subtract, hp.Hotpants):
        with pytest.raises(ValueError, match=r'^n_threads=.* is impossible: it must be a whole number from 1'):
            call(pair.science, pair.template, config=CONFIG, n_threads=n_threads)


def test_numpy_whole_numbers_are_numbers_of_threads():
    assert resolve_threads(np.int64(1)) == 1


@pytest.mark.skipif(max_threads() == 0, reason='built without OpenMP')
def test_the_default_follows_the_environment():
    code = 'from hotpants_cy.threads import resolve_threads; print(resolve_threads(), resolve_threads(5))'
    done = subprocess.run([sys.executable, '-c', code], env={**os.environ, 'OMP_NUM_THREADS': '3'},
                          capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['3', '5']


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='this system has no CPU affinity')
@pytest.mark.skipif(max_threads() == 0, reason='built without OpenMP')
def test_the_default_is_no_more_than_the_cpus_this_process_may_use():
    code = 'import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n' \
        'from hotpants_cy.threads import resolve_threads; print(resolve_threads())'
    environ = {k: v for k, v in os.environ.items() if k != 'OMP_NUM_THREADS'}
    done = subprocess.run([sys.executable, '-c', code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '1'
