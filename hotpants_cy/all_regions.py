"""All regions of an image: each step taken in every one of them, their planes put together."""

import logging
from collections.abc import Sequence

import numpy as np

from .exceptions import HotpantsError, SingularFitError
from .inputs.bits import Bits
from .kernel.basis import basis_of
from .kernel.model import KernelModel
from .kernel.mosaic import KernelMosaic

__all__ = ['AllRegions']

log = logging.getLogger(__name__)
#: What is done in each region, in this order; all are methods of it.
STEPS = 'find_stamps', 'select_direction', 'fit_kernel', 'subtract'


class AllRegions(Sequence):
    """The regions of an image, in the order in which they are worked on.

    A region that fails is left out from then on. When none is left, the error of the first one is raised.

    Parameters
    ----------
    runs : list of RegionalSubtraction
    shape : (int, int)
        Shape (ny, nx) of the image.
    config : `~hotpants_cy.HotpantsConfig`

    Attributes
    ----------
    done : int
        How many steps have been taken.
    """

    def __init__(self, runs, shape, config):
        self._runs, self._shape, self._config = runs, shape, config
        self._planes = {}
        self.done = 0

    def __len__(self):
        return len(self._runs)

    def __getitem__(self, index):
        return self._runs[index]

    @property
    def live(self):
        """Those that nothing went wrong in, as a list."""
        return [run for run in self if run.error is None]

    def advance_to(self, last, keep_convolved=False):
        """Take the steps up to the one named ``last`` that have not been taken yet."""
        for step in STEPS[self.done:STEPS.index(last) + 1]:
            for run in self.live:
                self._take(step, run, keep_convolved)
            self._check_that_some_live()
            self.done += 1

    def _take(self, step, run, keep_convolved):
        together = step == 'find_stamps' and self._config.same_direction
        options = {'keep_convolved': keep_convolved} if step == 'subtract' else {}
        try:
            if together:
                decided = [other.direction for other in self if other.direction]
                run.allowed = decided[0] if decided else run.allowed
            getattr(run, step)(**options)
            if together:
                run.select_direction()            # the next regions depend on it
        except HotpantsError as error:
            run.error = error
            if len(self) > 1:
                _warn(run)

    def _check_that_some_live(self):
        if not self.live:
            raise self[0].error

    def adopt(self, table):
        """Take the kernels of a table instead of the steps up to the fit [C: ``-ki``].

        Parameters
        ----------
        table : KernelTable
            With as many regions as there are; those without a solution fail.
        """
        for run, entry in zip(self, table.regions, strict=True):
            if entry.solution is None:
                run.error = SingularFitError('the kernel table has no solution for it')
                _warn(run)
                continue
            model = KernelModel(entry.solution, basis_of(self._config), self._config.ko, self._config.bgo, run.frame,
                                entry.direction, self._config.block_width)
            run.adopt(model, entry.values)
        self._check_that_some_live()
        self.done = STEPS.index('subtract')

    @property
    def kernel(self):
        """The kernel that was fitted: a `KernelModel`, or a `KernelMosaic` of several regions."""
        models = [run.fit.model for run in self.live]
        if len(self) == 1:
            return models[0]
        sections = [(r.region.x0, r.region.x1, r.region.y0, r.region.y1) for r in self.live]
        return KernelMosaic(models, sections, self._shape)

    def plane(self, name):
        """Plane ``name`` of ``Products`` for the whole image; see `Hotpants.assemble`."""
        if name not in self._planes:
            if name.startswith('convolved'):
                for run in self.live:
                    run.restore_convolved()
            self._planes[name] = self._put_together(name)
        return self._planes[name]

    def _put_together(self, name):
        planes, config = [getattr(run.products, name) for run in self.live], self._config
        if len(self) == 1 and planes[0].shape == self._shape:
            return planes[0]
        nothing = Bits.OUTPUT_ISBAD if name == 'flags' else 0 if config.parity else np.nan
        whole = np.full(self._shape, nothing, planes[0].dtype)
        fill = {'difference': config.fillval, 'convolved': config.fillval, 'noise': config.fillval_noise}
        for run in sorted(self, key=lambda run: run.error is None):    # rows may be shared
            if run.error is None:
                whole[run.region.output] = getattr(run.products, name)[run.region.inner]
            else:
                whole[run.region.output] = fill.get(name, nothing)
        return whole


def _warn(run):
    log.warning('warning: region %d, %s, is masked: %s', run.region.index, run.region.section, run.error)
