"""The fitted kernel as an object: its picture, sum and background anywhere, and its application."""

from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from .basis import GaussianBasis
from .blocks import convolve_blocks
from .convolution import Convolution
from .exact import convolve_exactly
from .spatial import Monomials, RegionFrame

__all__ = ['KernelModel']

FAR = 100.0            # half sides from the centre: no image is that much larger than its regions


@dataclass(frozen=True, eq=False)
class KernelModel:
    """A kernel that varies over the image, and the background that goes with it.

    It turns one image into the other: ``other = image * kernel + background`` (Alard 2000, equation 3).
    Positions are (x, y) in pixels of the whole image, 0-based.

    Parameters
    ----------
    solution : float64 array
        Coefficients: that of the first basis function, ``n_terms`` for each other one, then the
        background (spec 6.1).
    basis : GaussianBasis
        Basis functions of the kernel.
    ko, bgo : int
        Order of the spatial variation of kernel and background [C: ``-ko``, ``-bgo``].
    frame : RegionFrame
        The part of the image that the kernel was fitted on.
    direction : {'t', 'i'}
        Which image it convolves: the template or the science image.
    block_width : int
        Pixels in x and y over which one kernel serves when it is applied [C: ``-kcs``].
    covariance : float64 array (n, n), optional
        Of the ``solution``; fits with ``weights`` or ``robust`` have it.

    Examples
    --------
    >>> import numpy as np
    >>> from hotpants_cy.kernel.basis import GaussianBasis
    >>> from hotpants_cy.kernel.spatial import RegionFrame
    >>> basis = GaussianBasis(3, (0,), (1.0,))
    >>> kernel = KernelModel(np.array([0.8, 12.0]), basis, 0, 0, RegionFrame((0, 0), (50, 60)), 't', 7)
    >>> kernel.sum(30, 25), kernel.background(30, 25)
    (0.8, 12.0)
    >>> kernel.image(30, 25).shape
    (7, 7)
    >>> blurred = kernel.apply(np.ones((50, 60)))
    >>> float(blurred[25, 30])
    0.8
    >>> kernel.half_width, kernel.shape, kernel.varying.shape, kernel.background_coefficients
    (3, (50, 60), (0, 1), array([12.]))
    """

    solution: np.ndarray
    basis: GaussianBasis
    ko: int
    bgo: int
    frame: RegionFrame
    direction: str
    block_width: int
    covariance: np.ndarray | None = None

    def __eq__(self, other):
        if not isinstance(other, KernelModel):
            return NotImplemented
        return (np.array_equal(self.solution, other.solution) and np.array_equal(self.basis.images, other.basis.images)
                and all(getattr(self, name) == getattr(other, name)
                        for name in ('ko', 'bgo', 'frame', 'direction', 'block_width')))

    __hash__ = None

    def __repr__(self):
        (x0, y0), (ny, nx) = self.frame.origin, self.frame.shape
        part = f' from ({x0}, {y0})' if x0 or y0 else ''
        name = {'t': 'template', 'i': 'science image'}.get(self.direction, self.direction)
        return (f'<{type(self).__name__}: {self.basis.width} x {self.basis.width} pixels, order {self.ko}, for the '
                f'{name} of {nx} x {ny} pixels{part}, sum {self.sum(x0 + nx // 2, y0 + ny // 2):.4g} in the middle>')

    def _repr_html_(self):
        from ..cards import kernel_card
        return kernel_card([self])

    @property
    def half_width(self):
        """Half width of the kernel in pixels; it is ``2 * half_width + 1`` wide."""
        return self.basis.half_width

    @property
    def background_coefficients(self):
        """Coefficients of the background polynomial, float64 (terms,)."""
        return self.solution[len(self.solution) - len(Monomials(self.bgo)):]

    @property
    def varying(self):
        """Coefficients of all basis functions but the first, float64 (n - 1, terms)."""
        n_terms = len(Monomials(self.ko))
        return self.solution[1:1 + (len(self.basis) - 1) * n_terms].reshape(-1, n_terms)

    def coefficients(self, x, y):
        """Coefficients of the basis functions at positions.

        Parameters
        ----------
        x, y : float or array (n,)
            Positions in pixels, 0-based.

        Returns
        -------
        float64 array (n_basis,) or (n, n_basis)
            The kernel is the sum of the basis images times these.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> kernel.coefficients(128, 128).shape, kernel.coefficients([30, 60, 90], [10, 10, 10]).shape
        ((49,), (3, 49))
        """
        x, y = (np.asarray(v, float)[..., np.newaxis] for v in (x, y))
        out = np.empty((*x.shape[:-1], len(self.basis)))
        out[..., 0] = self.solution[0]
        out[..., 1:] = Monomials(self.ko).evaluate(self.varying.T, *self.frame.normalise(x, y))
        return out

    def _position(self, x, y):
        if np.ndim(x) or np.ndim(y):
            raise InputError(f'one position (x, y) is needed, not arrays of shape {np.shape(x)} and {np.shape(y)}')
        if not np.max(np.abs(self.frame.normalise(x, y))) <= FAR:
            (x0, y0), (ny, nx) = self.frame.origin, self.frame.shape
            raise InputError(f'the kernel is not known at ({x:g}, {y:g}), far from the {nx} x {ny} pixels from '
                             f'({x0}, {y0}) on that it was fitted to')
        return float(x), float(y)

    def image(self, x, y):
        """Picture of the kernel at a position.

        Parameters
        ----------
        x, y : float
            Position in pixels, 0-based.

        Returns
        -------
        float64 array (width, width)
            Rows along y; pixel ``[half_width, half_width]`` is the centre. An image is convolved with it,
            so that it looks as a point source at (x, y) would.

        Raises
        ------
        InputError
            More than one position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> kernel.image(128, 128).shape
        (21, 21)
        """
        coefficients = self.coefficients(*self._position(x, y))
        kernel = np.zeros((self.basis.width, self.basis.width))
        for a, picture in zip(coefficients, self.basis.images, strict=True):
            kernel += a * picture                    # one by one, as spec 6.4 sums them
        return kernel

    def images(self, x, y):
        """Pictures of the kernel at several positions.

        Parameters
        ----------
        x, y : array (n,)
            Positions in pixels, 0-based.

        Returns
        -------
        float64 array (n, width, width)
            Each as `image` gives it, up to rounding.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> kernel.images([30, 60, 90], [10, 10, 10]).shape
        (3, 21, 21)
        """
        return np.tensordot(self.coefficients(x, y), self.basis.images, 1)

    def sum(self, x, y):
        """Sum of the kernel at a position: the flux ratio of the two images.

        Parameters
        ----------
        x, y : float
            Position in pixels, 0-based.

        Returns
        -------
        float

        Raises
        ------
        InputError
            More than one position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> bool(0.83 < kernel.sum(128, 128) < 0.87)
        True
        """
        # pixel after pixel: NumPy's pairwise sum would round differently
        return float(np.cumsum(self.image(x, y))[-1])

    def sum_error(self, x, y):
        """Standard deviation of the kernel sum at a position.

        It comes from the noise of the stars that the kernel was fitted to, and, with eight of them or more, from the
        scatter of their flux ratios beyond it.

        Parameters
        ----------
        x, y : float
            Position in pixels, 0-based.

        Returns
        -------
        float
            NaN if it is not known: only a fit with ``weights`` or ``robust`` tells.

        Raises
        ------
        InputError
            More than one position.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> config = hp.HotpantsConfig(ko=0, weights=True)
        >>> kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        >>> bool(0 < kernel.sum_error(128, 128) < 0.01)
        True
        """
        if self.covariance is None:
            return float('nan')
        sums = self.basis.images.sum(axis=(1, 2))
        terms = Monomials(self.ko).values(*self.frame.normalise(*self._position(x, y)))
        slope = np.zeros(len(self.solution))
        slope[0] = sums[0]
        slope[1:1 + self.varying.size] = np.outer(sums[1:], terms).ravel()
        return float(np.sqrt(max(slope @ self.covariance @ slope, 0.0)))

    def background(self, x, y):
        """Background at positions, in data units.

        Parameters
        ----------
        x, y : float or array
            Positions in pixels, 0-based.

        Returns
        -------
        float or float64 array

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> bool(187 < kernel.background(128, 128) < 190), kernel.background([30, 60], [10, 10]).shape
        (True, (2,))
        """
        values = Monomials(self.bgo).evaluate(self.background_coefficients, *self.frame.normalise(x, y))
        return float(values) if values.ndim == 0 else values

    @property
    def shape(self):
        """Shape (ny, nx) of the images that the kernel applies to."""
        return tuple(self.frame.shape)

    def apply(self, image, *, background=False, exact=False, n_threads=None):
        """Convolve an image with the kernel.

        Parameters
        ----------
        image : 2-D array, `~astropy.nddata.CCDData` or `~astropy.nddata.NDData`
            Pixels on the grid that the kernel was fitted on, of the same shape. Any numeric type.
        background : bool, optional
            Add the background too, in data units. Default False.
        exact : bool, optional
            Give each pixel its own kernel, not one to each block of ``block_width`` pixels. Default False.
        n_threads : int, optional
            Default: the CPUs that this process may use.

        Returns
        -------
        float32 array, or `~astropy.nddata.CCDData` for an image with more than pixels
            The convolved image; NaN in a frame of ``half_width`` pixels. CCDData has the uncertainty convolved too,
            a mask and flags where bad pixels have more than 1 % of the kernel, the unit, WCS and header of the image,
            and its ``psf``, if it has one, convolved.

        Raises
        ------
        InputError
            The image has another shape, or cannot be used.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> kernel.apply(pair.template).unit, kernel.apply(pair.template.data).dtype
        (Unit("adu"), dtype('float32'))
        """
        from .application import apply_kernel
        return apply_kernel(self, image, background, exact, n_threads)

    def convolved(self, data, variance=None, flags=None, *, background=False, exact=False, n_threads=1):
        """Convolve planes of the whole image, `convolve_planes` with NaN in the frame; for the package itself."""
        return self.convolve_planes(data, variance, flags, fill=np.nan, background=background, exact=exact,
                                    n_threads=n_threads)

    def write(self, path, *, overwrite=False):
        """Write the kernel to a FITS file.

        The file is a kernel table of C HOTPANTS, which the C program can use too (``-ki``), with some keywords more,
        so that `read` gives back exactly this kernel.

        Parameters
        ----------
        path : str or path
        overwrite : bool, optional
            Replace a file that exists. Default False.

        Raises
        ------
        OutputError
            The file cannot be written; nothing was changed then.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import hotpants_cy as hp
        >>> from hotpants_cy.datasets import make_pair
        >>> pair = make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kernel.write(Path(folder, 'kernel.fits'))
        ...     hp.KernelModel.read(Path(folder, 'kernel.fits')) == kernel
        True
        """
        from .table import write_kernels
        (x0, y0), (ny, nx) = self.frame.origin, self.frame.shape
        write_kernels(path, [self], [(x0, x0 + nx - 1, y0, y0 + ny - 1)], (y0 + ny, x0 + nx), overwrite=overwrite)

    @staticmethod
    def read(path):
        """Read a kernel from a FITS file.

        Parameters
        ----------
        path : str or path
            A file from `write`, or a kernel table of C HOTPANTS (``-oki``, ``-hki``) for the whole image.

        Returns
        -------
        KernelModel or KernelMosaic
            A mosaic if the file has kernels of several regions.

        Raises
        ------
        InputError
            The file holds no whole kernel.

        Examples
        --------
        >>> import tempfile
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> kernel = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).kernel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kernel.write(f'{folder}/kernel.fits')
        ...     hp.KernelModel.read(f'{folder}/kernel.fits').sum(128, 128) == kernel.sum(128, 128)
        True
        """
        from .table import read_kernels
        return read_kernels(path)

    def convolve_planes(self, data, variance=None, flags=None, *, noise=None, fill=0.0, plain_variance=False,
                        good_fraction=0.99, background=False, exact=False, n_threads=1, memory=None):
        """Convolve image, variance and flags of the region, by blocks (spec 7) or exactly; for the package itself.

        Parameters
        ----------
        data, variance : float32 array (ny, nx)
            Planes of the region; ``variance`` may be left out.
        flags : int32 array (ny, nx), optional
            Flags of the image that is convolved.
        noise : NoiseModel, optional
            Gives the variance where there is no plane of it. Default: there is no variance.
        fill : float, optional
            Value of the frame of the convolved image; default 0. The variance there is 0.
        plain_variance : bool, optional
            Convolve the variance with the kernel and not with its square [C: ``-convvar``].
        good_fraction : float, optional
            Least fraction of the kernel's weight on good pixels [C: ``-kfm``].
        background : bool, optional
            Add the background to the convolved image, but for its frame. Default False.
        exact : bool, optional
            Give each pixel its own kernel, not one to each block of ``block_width`` pixels. Default False.
        n_threads : int, optional
            Default 1. The result does not depend on it.
        memory : Memory, optional
            For the results. Default: a fresh one.

        Returns
        -------
        convolved, variance : float32 arrays
        flags : int32 array
            Zero where nothing is flagged. The last two are empty if not asked for.
        """
        task = Convolution.of(data, variance, flags, noise, plain_variance=plain_variance, good_fraction=good_fraction,
                              background=background, n_threads=n_threads, memory=memory)
        convolve = convolve_exactly if exact else convolve_blocks
        convolve(self, task)
        task.fill_frames(self.half_width, fill)
        return task.planes
