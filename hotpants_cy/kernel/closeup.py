"""A close look at single substamps: cutouts, basis vectors, local fits and models, made when they are asked for."""

from dataclasses import dataclass, field

import numpy as np

from ..stamps.substamp import Stamp
from .basis import basis_of
from .design import Design
from .spatial import RegionFrame

__all__ = ['Closeup']


@dataclass(eq=False)
class Closeup:
    """What the fit of one region sees of a substamp.

    Parameters
    ----------
    template, science : Exposure
        The whole images.
    region : Region
    config : `~hotpants_cy.HotpantsConfig`

    Attributes
    ----------
    models : dict
        The `KernelModel` of each direction that was fitted.
    """

    template: object
    science: object
    region: object
    config: object
    models: dict = field(default_factory=dict)

    def _cut(self, substamp):
        half = self.config.rss
        return np.s_[substamp.y - half:substamp.y + half + 1, substamp.x - half:substamp.x + half + 1]

    def cutout(self, name, substamp):
        """Pixels of the 'template' or 'science' image."""
        return getattr(self, name).cutout(self._cut(substamp)).copy()

    def noise_variance(self, substamp):
        """Sum of the variances of both images, not convolved."""
        cut = self._cut(substamp)
        return self.template.variance(cut) + self.science.variance(cut)

    def _design(self, substamp):
        pair = (self.template, self.science) if substamp.direction == 't' else (self.science, self.template)
        frame = RegionFrame(self.region.origin, self.region.shape)
        return Design([Stamp([substamp])], *pair, self.region, basis_of(self.config), frame, self.config)

    def basis_vectors(self, substamp):
        """The convolved image once per basis function, (n, size, size)."""
        size = self.config.substamp_width
        return self._design(substamp).vectors[0].reshape(-1, size, size)

    def local_solution(self, substamp):
        """Coefficients of the kernel fitted to this substamp alone, and its constant background; None if singular."""
        return self._design(substamp).local_solution(0)

    def local_model(self, substamp):
        """The convolved substamp as its own fit has it, with background; None if singular."""
        design = self._design(substamp)
        solution = design.local_solution(0)
        return None if solution is None else self._model(design, solution[:-1], solution[-1])

    def global_model(self, substamp):
        """The convolved substamp as the global fit has it, with background; None before that."""
        model = self.models.get(substamp.direction)
        if model is None:
            return None
        position = substamp.x, substamp.y
        return self._model(self._design(substamp), model.coefficients(*position), model.background(*position))

    def _model(self, design, coefficients, background):
        size = self.config.substamp_width
        model = np.tensordot(coefficients, design.vectors[0], 1) + background
        return model.astype(np.float32).reshape(size, size)
