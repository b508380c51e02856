"""Kernels of several regions as one."""

from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError

__all__ = ['KernelMosaic']


@dataclass(frozen=True, eq=False)
class KernelMosaic:
    """Several kernels, each for a rectangle of the image; used like a `KernelModel`.

    Where rectangles overlap, the later one counts.

    Parameters
    ----------
    models : list of KernelModel
    sections : list of (int, int, int, int)
        First and last pixel in x, first and last in y of each, 0-based and inclusive.
    shape : (int, int)
        Shape (ny, nx) of the image.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((300, 500), seed=1)
    >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
    >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
    >>> kernel
    <KernelMosaic: 2 kernels of 21 x 21 pixels for an image of 500 x 300 pixels>
    >>> kernel.image(100, 100).shape
    (21, 21)
    """

    models: list
    sections: list
    shape: tuple

    def __repr__(self):
        width = self.models[0].basis.width
        return (f'<{type(self).__name__}: {len(self.models)} kernels of {width} x {width} pixels for an image of '
                f'{self.shape[1]} x {self.shape[0]} pixels>')

    def _repr_html_(self):
        from ..cards import kernel_card
        return kernel_card(self.models, self.sections, title=type(self).__name__)

    def at(self, x, y):
        """Model that counts at a position.

        Parameters
        ----------
        x, y : float
            Position in pixels, 0-based.

        Returns
        -------
        KernelModel

        Raises
        ------
        InputError
            No region holds the position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> kernel.at(30, 100) is kernel.models[0], kernel.at(200, 100) is kernel.models[1]
        (True, True)
        """
        for model, (x0, x1, y0, y1) in zip(self.models[::-1], self.sections[::-1], strict=True):
            if x0 - 0.5 <= x <= x1 + 0.5 and y0 - 0.5 <= y <= y1 + 0.5:
                return model
        raise InputError(f'no region with a kernel holds the position ({x:g}, {y:g})')

    def image(self, x, y):
        """Picture of the kernel at a position; see `KernelModel.image`.

        Returns
        -------
        float64 array (width, width)

        Raises
        ------
        InputError
            No region holds the position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> kernel.image(60, 100).shape
        (21, 21)
        """
        return self.at(x, y).image(x, y)

    def sum(self, x, y):
        """Sum of the kernel at a position; see `KernelModel.sum`.

        Returns
        -------
        float

        Raises
        ------
        InputError
            No region holds the position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> kernel.sum(60, 100) == kernel.models[0].sum(60, 100)
        True
        """
        return self.at(x, y).sum(x, y)

    def sum_error(self, x, y):
        """Standard deviation of the kernel sum at a position; see `KernelModel.sum_error`.

        Returns
        -------
        float

        Raises
        ------
        InputError
            No region holds the position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> kernel.sum_error(60, 100)            # known for fits with weights
        nan
        """
        return self.at(x, y).sum_error(x, y)

    def background(self, x, y):
        """Background at positions, in data units; see `KernelModel.background`.

        Returns
        -------
        float or float64 array

        Raises
        ------
        InputError
            No region holds one of the positions.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> kernel.background([30, 200], [100, 100]).shape
        (2,)
        """
        values = np.vectorize(lambda a, b: self.at(a, b).background(a, b), otypes=[float])(x, y)
        return float(values) if values.ndim == 0 else values

    def apply(self, image, *, background=False, exact=False, n_threads=None):
        """Convolve an image with the kernel of each region; see `KernelModel.apply`.

        Returns
        -------
        float32 array, or `~astropy.nddata.CCDData` for an image with more than pixels
            NaN where there is no kernel.

        Raises
        ------
        InputError
            The image has another shape, or cannot be used.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> kernel.apply(pair.template).unit, kernel.apply(pair.template.data).dtype
        (Unit("adu"), dtype('float32'))
        """
        from .application import apply_kernel
        return apply_kernel(self, image, background, exact, n_threads)

    def convolved(self, data, variance=None, flags=None, **options):
        """Convolve planes of the whole image, as `KernelModel.convolved` does; for the package itself."""
        planes = [np.full(self.shape, np.nan, np.float32),
                  np.zeros((0, 0) if variance is None else self.shape, np.float32),
                  np.zeros((0, 0) if flags is None else self.shape, np.int32)]
        for model, (x0, x1, y0, y1) in zip(self.models, self.sections, strict=True):
            (xb, yb), (ny, nx) = model.frame.origin, model.frame.shape
            parts = model.convolved(*(None if plane is None else np.ascontiguousarray(plane[yb:yb + ny, xb:xb + nx])
                                      for plane in (data, variance, flags)), **options)
            for plane, part in zip(planes, parts, strict=True):
                if plane.size:
                    plane[y0:y1 + 1, x0:x1 + 1] = part[y0 - yb:y1 + 1 - yb, x0 - xb:x1 + 1 - xb]
        return planes

    def write(self, path, *, overwrite=False):
        """Write the kernels to a FITS file; see `KernelModel.write`, and `KernelModel.read` to have them back.

        Raises
        ------
        OutputError
            The file cannot be written; nothing was changed then.

        Examples
        --------
        >>> import tempfile
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(nregx=2, ko=0, nstampx=3, nstampy=4, force_convolve='t')
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kernel.write(f'{folder}/kernels.fits')
        ...     hp.KernelModel.read(f'{folder}/kernels.fits')
        <KernelMosaic: 2 kernels of 21 x 21 pixels for an image of 256 x 256 pixels>
        """
        from .table import write_kernels
        write_kernels(path, self.models, self.sections, self.shape, overwrite=overwrite)
