"""Convolution of an image with a fitted kernel, by its half width.

Peak memory is that of the whole process, with all that is imported.
"""
import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

SIZES = [512, 1024, 2048]
HALF_WIDTHS = [5, 10, 15, 25]


class Apply:
    """`KernelModel.apply`."""

    params = (HALF_WIDTHS, SIZES, [1, 2])
    param_names = ('half_width', 'size', 'threads')
    timeout = 300

    def setup_cache(self):
        for size in SIZES:
            pair = make_pair((size, size), seed=1)
            np.save(f'{size}.npy', pair.template.data)
            for r in HALF_WIDTHS:
                config = hp.HotpantsConfig(rkernel=r, rss=max(r, 15), force_convolve='t')
                hp.subtract(pair.science, pair.template, config=config).kernel.write(f'{size}-{r}.fits')
    setup_cache.timeout = 600

    def setup(self, half_width, size, threads):
        self.image = np.load(f'{size}.npy')
        self.kernel = hp.KernelModel.read(f'{size}-{half_width}.fits')

    def time_apply(self, half_width, size, threads):
        self.kernel.apply(self.image, n_threads=threads)

    def peakmem_apply(self, half_width, size, threads):
        self.kernel.apply(self.image, n_threads=threads)
