"""Subtractions of arrays in memory, at once and step by step.

Peak memory is that of the whole process, with all that is imported.
"""
import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

SIZES = [512, 1024, 2048]
THREADS = [1, 2]
STEPS = ['find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip', 'convolve_and_difference']
ONE_DIRECTION = hp.HotpantsConfig(force_convolve='t')


class _Pairs:
    """Simulated pairs, one for each size, in files."""

    timeout = 300

    def setup_cache(self):
        for size in SIZES:
            pair = make_pair((size, size), seed=1)
            np.save(f'{size}.npy', [pair.science.data, pair.template.data])
    setup_cache.timeout = 300

    def load(self, size):
        self.science, self.template = np.load(f'{size}.npy')


class Subtract(_Pairs):
    """The whole job."""

    params = (SIZES, THREADS)
    param_names = ('size', 'threads')

    def setup(self, size, threads):
        self.load(size)

    def time_one_direction(self, size, threads):
        hp.subtract(self.science, self.template, config=ONE_DIRECTION, n_threads=threads)

    def time_both_directions(self, size, threads):
        hp.subtract(self.science, self.template, n_threads=threads)

    def peakmem_one_direction(self, size, threads):
        hp.subtract(self.science, self.template, config=ONE_DIRECTION, n_threads=threads)

    def peakmem_both_directions(self, size, threads):
        hp.subtract(self.science, self.template, n_threads=threads)


class Steps(_Pairs):
    """One step, after those before it; both directions are tried."""

    params = (STEPS, SIZES, THREADS)
    param_names = ('step', 'size', 'threads')
    number, warmup_time = 1, 0           # a step is done once, so each run of it needs its own setup

    def setup(self, step, size, threads):
        self.load(size)
        self.hot = hp.Hotpants(self.template, self.science, n_threads=threads)
        for before in STEPS[:STEPS.index(step)]:
            getattr(self.hot, before)()

    def time_step(self, step, size, threads):
        getattr(self.hot, step)()
