"""Every parameter of a subtraction, checked when it is set: `HotpantsConfig`."""

import difflib
import math
from dataclasses import asdict, dataclass, field, fields, replace

import numpy as np

from .checks import basis_images, boolean, choice, corners, integer, or_none, path, real, tuple_of
from .reasons import Reasoned

__all__ = ['HotpantsConfig']


def _field(default, flag, rule):
    return field(default=default, metadata=_metadata(flag, rule))


def _metadata(flag, rule):
    return {'flag': flag, 'check': rule[0], 'range': rule[1]}


_threshold = or_none(real())
_pixels = (1, 1000)


@dataclass(frozen=True, kw_only=True, init=False, eq=False)
class HotpantsConfig(Reasoned):
    """Parameters of a subtraction, with the names of pyhotpants.

    The C flag of each parameter stands in brackets; ``hotpants-cy --help`` describes them too.
    Real numbers are used in single precision, as the C program holds them.

    Parameters
    ----------
    tuthresh, iuthresh : float, optional
        Upper valid data value of the template and of the science image, in data units: pixels at or above
        it are bad [``-tu``, ``-iu``]. Default: no limit.
    tuktresh, iuktresh : float, optional
        Upper value of pixels that may take part in the kernel fit, in data units [``-tuk``, ``-iuk``].
        Default: ``tuthresh``, ``iuthresh``.
    tlthresh, ilthresh : float, optional
        Lower valid data value, in data units: pixels at or below it are bad [``-tl``, ``-il``]. Default: no limit.
    tgain, igain : float, optional
        Gain in electrons per data unit, for the noise of images that come without uncertainty
        [``-tg``, ``-ig``]. Default 1.
    trdnoise, irdnoise : float, optional
        Read noise in electrons, for the same [``-tr``, ``-ir``]. Default 0.
    tpedestal, ipedestal : float, optional
        Pedestal in data units, subtracted from data and thresholds [``-tp``, ``-ip``]. Default 0.
    rkernel : int, optional
        Half width of the kernel in pixels; the kernel is ``2 * rkernel + 1`` wide [``-r``]. Default 10.
    kcs : int, optional
        Width in pixels of the blocks over which one kernel serves [``-kcs``]. Default: the width of the kernel.
    exact : bool, optional
        Give each pixel its own kernel, and not one to each block of ``kcs`` pixels [``--exact``]. Default False.
    weights : bool, optional
        Fit with one over the variance of each pixel as its weight, and masked pixels without any
        [``--weights``]. Default False.
    robust : {None, 'huber', 'tukey'}, optional
        Loss of the fit: how pixels and stars that do not agree with the others lose weight. None is least squares with
        rejection of whole stars at ``ks`` sigma [``--robust``]. Default None.
    ko, bgo : int, optional
        Order of the spatial variation of kernel and background [``-ko``, ``-bgo``]. Default 2 and 1.
    ngauss : int, optional
        Number of Gaussians in the kernel basis [``-ng``]. Default: as many as ``sigma_gauss`` has.
    deg_fixe : sequence of int, optional
        Degree of the polynomial on each Gaussian [``-ng``]. Default (6, 4, 2).
    sigma_gauss : sequence of float, optional
        Sigma of each Gaussian in pixels [``-ng``]. Default (0.7, 1.5, 3.0).
    fitthresh : float, optional
        Height of a usable star over the sky, in units of the sky sigma of its stamp [``-ft``]. Default 20.
    scale_fitthresh : float, optional
        Factor on ``fitthresh`` in a second search when too few stamps are filled [``-sft``]. Default 0.5.
    min_frac_stamps : float, optional
        Fraction of filled stamps that is too few [``-nft``]. Default 0.1.
    nregx, nregy : int, optional
        Regions in x and y, each with a kernel of its own [``-nrx``, ``-nry``]. Default 1.
    good_range : (int, int, int, int), optional
        First pixel and end in x, first pixel and end in y of the part to use, 0-based, the ends exclusive; an
        end of 0 is that of the image [``-gd``]. Default: all.
    region_list : sequence of (int, int, int, int), optional
        First and last pixel in x, first and last in y of each region, 0-based and inclusive, instead of a
        grid [``-rf``]. Default: the grid of ``nregx`` and ``nregy``.
    same_direction : bool, optional
        Convolve the same image in all regions, the one chosen in the first [``-sconv``]. Default False.
    nstampx, nstampy : int, optional
        Stamps per region in x and y [``-nsx``, ``-nsy``]. Default 10.
    nx, ny : int, optional
        Accepted as by pyhotpants, for ``fwstamp``; the data have their own size. Default 2048.
    nss : int, optional
        Substamps (stars) kept per stamp, of which one at a time is fitted [``-nss``]. Default 3.
    rss : int, optional
        Half width of a substamp in pixels; at least ``rkernel`` [``-rss``]. Default 15.
    ks : float, optional
        Rejection of substamps in the fit, in sigmas of their merits [``-ks``]. Default 2.
    kfm : float, optional
        Least fraction of the kernel's weight on good pixels for an output pixel to be good [``-kfm``].
        Default 0.99.
    stat_sig : float, optional
        Clipping of all statistics, in sigmas [``-ssig``]. Default 3.
    kf_spread_mask1 : float, optional
        Growth of the input mask, in kernel half widths; half of it is applied, as C does [``-mins``]. Default 1.
    kf_spread_mask2 : float, optional
        Negative: leave the values of bad output pixels as they are [``-mous``]. Default 1.
    force_convolve : {'b', 't', 'i'}, optional
        Convolve the template, the science image, or what fits better [``-c``]. Default 'b'.
    normalize : {'t', 'i', 'u'}, optional
        Flux scale of the difference: the template's, the science image's, or that of the image that is not
        convolved [``-n``]. Default 't'.
    fom : {'v', 's', 'h'}, optional
        Merit of a substamp [``-fom``]. Default 'v', its variance.
    fillval, fillval_noise : float, optional
        Value of bad pixels in difference and noise [``-fi``, ``-fin``]. Default NaN.
    conv_var : bool, optional
        Convolve the variance with the kernel and not with its square [``-convvar``]. Default False.
    rescale_ok : bool, optional
        Scale the noise of pixels with OK_CONV to what they scatter [``-okn``]. Default False.
    use_pca : bool, optional
        Kernel basis from ``basis_images`` and not from Gaussians [``-pca``]. Default: whether there are any.
    basis_images : array (n, width, width), optional
        Images of one odd width that span the kernel, the first of which carries its flux; they set ``rkernel``.
    auto_search : bool, optional
        Search for more stars where a list of stars is given [``-afssc``]. Default True.
    verbose : int, optional
        Messages: 0, 1 or 2 [``-v``]. Default 0.
    parity : bool, optional
        Repeat also those habits of the C program that only serve to agree with it to the last bit; the command
        line does. Default False.
    output_file, noise_image_file, mask_image_file, convolved_image_file : str, optional
        Where `Hotpants.save_outputs` writes to [``-outim``, ``-oni``, ``-omi``, ``-oci``].
    sigma_image_file, stamp_region_file : str, optional
        The same for the difference over its noise and the stars as a ds9 file [``-ond``, ``-savexy``].

    Raises
    ------
    TypeError
        An unknown name.
    InputError
        An impossible value; the message says which one, and what is possible.

    Examples
    --------
    >>> from hotpants_cy import HotpantsConfig
    >>> config = HotpantsConfig(rkernel=12, rss=18, force_convolve='t')
    >>> config.kernel_width
    25
    >>> config.replace(rkernel=8).rkernel
    8
    >>> config.hwkernel, config.fwkernel, config.block_width, config.ncomp_ker, config.n_bg_vectors, config.n_comp_total
    (12, 25, 25, 49, 3, 292)
    >>> config.hwksstamp, config.substamp_width, config.fwksstamp, config.fwstamp, config.reasons
    (18, 37, 37, 179, {})
    >>> HotpantsConfig(ko=-1)
    Traceback (most recent call last):
    ...
    hotpants_cy.exceptions.InputError: ko=-1 is impossible: it must be a whole number from 0 to 10 (C flag -ko)
    """

    tuthresh: float | None = _field(None, '-tu', _threshold)
    tuktresh: float | None = _field(None, '-tuk', _threshold)
    tlthresh: float | None = _field(None, '-tl', _threshold)
    tgain: float = _field(1.0, '-tg', real(1e-10, 1e10))
    trdnoise: float = _field(0.0, '-tr', real(0, 1e10))
    tpedestal: float = _field(0.0, '-tp', real())
    iuthresh: float | None = _field(None, '-iu', _threshold)
    iuktresh: float | None = _field(None, '-iuk', _threshold)
    ilthresh: float | None = _field(None, '-il', _threshold)
    igain: float = _field(1.0, '-ig', real(1e-10, 1e10))
    irdnoise: float = _field(0.0, '-ir', real(0, 1e10))
    ipedestal: float = _field(0.0, '-ip', real())
    rkernel: int = _field(10, '-r', integer(*_pixels))
    kcs: int | None = _field(None, '-kcs', or_none(integer(*_pixels)))
    exact: bool = _field(False, '--exact', boolean())
    weights: bool = _field(False, '--weights', boolean())
    robust: str | None = _field(None, '--robust', or_none(choice('huber', 'tukey')))
    ko: int = _field(2, '-ko', integer(0, 10))
    bgo: int = _field(1, '-bgo', integer(0, 10))
    ngauss: int | None = _field(None, '-ng', or_none(integer(1, 100)))
    deg_fixe: tuple = _field((6, 4, 2), '-ng', tuple_of(integer(0, 20)[0], 'whole numbers from 0 to 20'))
    sigma_gauss: tuple = _field((0.7, 1.5, 3.0), '-ng',
                                tuple_of(real(0.01, 1000)[0], 'numbers from 0.01 to 1000'))
    fitthresh: float = _field(20.0, '-ft', real(0))
    scale_fitthresh: float = _field(0.5, '-sft', real(0, 1))
    min_frac_stamps: float = _field(0.1, '-nft', real(0, 1))
    nregx: int = _field(1, '-nrx', integer(1, 1000))
    nregy: int = _field(1, '-nry', integer(1, 1000))
    good_range: tuple | None = _field(None, '-gd', or_none(corners()))
    region_list: tuple | None = _field(None, '-rf', or_none(tuple_of(corners()[0], 'rectangles (x0, x1, y0, y1)')))
    same_direction: bool = _field(False, '-sconv', boolean())
    nstampx: int = _field(10, '-nsx', integer(1, 10000))
    nstampy: int = _field(10, '-nsy', integer(1, 10000))
    nx: int = _field(2048, 'none', integer(1, 10**9))
    ny: int = _field(2048, 'none', integer(1, 10**9))
    nss: int = _field(3, '-nss', integer(1, 10000))
    rss: int = _field(15, '-rss', integer(*_pixels))
    ks: float = _field(2.0, '-ks', real(0))
    kfm: float = _field(0.99, '-kfm', real())
    stat_sig: float = _field(3.0, '-ssig', real(0, above=True))
    kf_spread_mask1: float = _field(1.0, '-mins', real(0, 1000))
    kf_spread_mask2: float = _field(1.0, '-mous', real())
    force_convolve: str = _field('b', '-c', choice('b', 't', 'i'))
    normalize: str = _field('t', '-n', choice('t', 'i', 'u'))
    fom: str = _field('v', '-fom', choice('v', 's', 'h'))
    fillval: float = _field(math.nan, '-fi', real(finite=False))
    fillval_noise: float = _field(math.nan, '-fin', real(finite=False))
    conv_var: bool = _field(False, '-convvar', boolean())
    rescale_ok: bool = _field(False, '-okn', boolean())
    use_pca: bool | None = _field(None, '-pca', or_none(boolean()))
    basis_images: np.ndarray | None = field(default=None, compare=False, repr=False,
                                            metadata=_metadata('-pca', basis_images()))
    auto_search: bool = _field(True, '-afssc', boolean())
    verbose: int = _field(0, '-v', integer(0, 2, or_boolean=True))
    parity: bool = _field(False, '--parity', boolean())
    output_file: str | None = _field(None, '-outim', or_none(path()))
    noise_image_file: str | None = _field(None, '-oni', or_none(path()))
    mask_image_file: str | None = _field(None, '-omi', or_none(path()))
    convolved_image_file: str | None = _field(None, '-oci', or_none(path()))
    sigma_image_file: str | None = _field(None, '-ond', or_none(path()))
    stamp_region_file: str | None = _field(None, '-savexy', or_none(path()))

    def __init__(self, **values):
        known = {f.name: f for f in fields(self)}
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f'; did you mean {close[0]}?' if close else ''
                raise TypeError(f'HotpantsConfig has no parameter {name!r}{hint}')
        for name, spec in known.items():
            value = values.get(name, spec.default)
            object.__setattr__(self, name, value if name not in values else _checked(spec, value))
        self._check_together()

    def _check_together(self):
        if self.use_pca is None:
            object.__setattr__(self, 'use_pca', self.basis_images is not None)
        if self.use_pca and self.basis_images is None:
            raise _impossible('use_pca=True is impossible without basis_images (C flag -pca)')
        if self.use_pca:
            object.__setattr__(self, 'rkernel', self.basis_images.shape[1] // 2)
        if self.rss < self.rkernel:
            raise _impossible(f'rss={self.rss} is impossible: substamps must be at least as wide as the kernel, '
                              f'rkernel={self.rkernel} (C flag -rss)')
        if len(self.deg_fixe) != len(self.sigma_gauss):
            raise _impossible(f'deg_fixe={self.deg_fixe} is impossible: it needs one degree for each of '
                              f'sigma_gauss={self.sigma_gauss} (C flag -ng)')
        if self.ngauss is None:
            object.__setattr__(self, 'ngauss', len(self.sigma_gauss))
        elif self.ngauss != len(self.sigma_gauss):
            raise _impossible(f'ngauss={self.ngauss} is impossible: deg_fixe and sigma_gauss have '
                              f'{len(self.sigma_gauss)} entries (C flag -ng)')
        for side in 'ti':
            upper, lower = (getattr(self, f'{side}{which}thresh') for which in 'ul')
            # zero is "not given" to the C program here (spec 1.3)
            if upper and lower and upper < lower:
                raise _impossible(f'{side}uthresh={upper:g} is impossible: it must not be below '
                                  f'{side}lthresh={lower:g} (C flag -{side}u)')

    def _key(self):
        # NaN, the default fill, is not equal to itself
        values = [getattr(self, spec.name) for spec in fields(self) if spec.compare]
        return tuple('NaN' if isinstance(value, float) and math.isnan(value) else value for value in values)

    def __eq__(self, other):
        return self._key() == other._key() if isinstance(other, HotpantsConfig) else NotImplemented

    def __hash__(self):
        return hash(self._key())

    def replace(self, **changes):
        """Return a copy with some parameters changed.

        Parameters
        ----------
        **changes
            Parameters and their new values, checked like those of a new `HotpantsConfig`.

        Returns
        -------
        HotpantsConfig

        Raises
        ------
        TypeError, InputError
            An unknown name; an impossible value.

        Examples
        --------
        >>> from hotpants_cy import HotpantsConfig
        >>> HotpantsConfig(ko=1).replace(bgo=0).to_dict()['ko']
        1
        """
        follow = {}                                              # from others, unless they are given
        if 'deg_fixe' in changes or 'sigma_gauss' in changes:
            follow['ngauss'] = None
        if 'basis_images' in changes:
            follow['use_pca'] = None
        twin = replace(self, **follow | changes)
        if reasons := self.reasons:
            twin = twin.with_reasons(reasons | {name: 'given' for name in changes})
        return twin

    def _repr_html_(self):
        from .cards import config_card
        return config_card(self)

    def to_dict(self):
        """Return all parameters as a dict.

        Returns
        -------
        dict
            Values by name, which `from_dict` takes back.

        Examples
        --------
        >>> from hotpants_cy import HotpantsConfig
        >>> HotpantsConfig(ko=1).to_dict()['ko']
        1
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Make a configuration from a dict of parameters.

        Parameters
        ----------
        values : dict
            Parameters by name; those left out keep their defaults.

        Returns
        -------
        HotpantsConfig

        Raises
        ------
        TypeError, InputError
            An unknown name; an impossible value.

        Examples
        --------
        >>> from hotpants_cy import HotpantsConfig
        >>> HotpantsConfig.from_dict({'ko': 1}) == HotpantsConfig(ko=1)
        True
        """
        return cls(**values)

    def single(self, name):
        """Value of a real parameter in single precision, as C holds it (spec 0.2); for the package itself."""
        with np.errstate(over='ignore'):
            return float(np.float32(getattr(self, name)))

    @property
    def kernel_width(self):
        """Full width of the kernel in pixels."""
        return 2 * self.rkernel + 1

    @property
    def substamp_width(self):
        """Full width of a substamp in pixels."""
        return 2 * self.rss + 1

    # the names that pyhotpants has for them, and for the counts that follow
    fwkernel = kernel_width
    fwksstamp = substamp_width
    hwkernel = property(lambda self: self.rkernel, doc='Half width of the kernel in pixels.')
    hwksstamp = property(lambda self: self.rss, doc='Half width of a substamp in pixels.')

    def stamp_width(self, nx, ny):
        """Width in pixels of the stamps of an image of ``nx`` x ``ny`` pixels (spec 2.3); for the package itself."""
        width = min(nx // self.nregx // self.nstampx, ny // self.nregy // self.nstampy) - self.kernel_width
        return width - 1 if width % 2 == 0 else width

    @property
    def fwstamp(self):
        """Width in pixels of the stamps of an image of the size ``nx``, ``ny``."""
        return self.stamp_width(self.nx, self.ny)

    @property
    def ncomp_ker(self):
        """Number of basis functions of the kernel."""
        if self.use_pca:
            return len(self.basis_images)
        return sum((degree + 1) * (degree + 2) // 2 for degree in self.deg_fixe)

    @property
    def n_bg_vectors(self):
        """Number of background terms."""
        return (self.bgo + 1) * (self.bgo + 2) // 2

    @property
    def n_comp_total(self):
        """Number of unknowns of the global fit."""
        return 1 + (self.ncomp_ker - 1) * (self.ko + 1) * (self.ko + 2) // 2 + self.n_bg_vectors

    @property
    def block_width(self):
        """Width in pixels of the blocks over which one kernel serves."""
        return self.kcs or self.kernel_width


def _impossible(words):
    from .exceptions import InputError  # brings astropy, which a configuration does not need
    return InputError(words)


def _checked(spec, value):
    """Value in the field's type; an InputError that names field, value and range if it is impossible."""
    try:
        return spec.metadata['check'](value)
    except (TypeError, ValueError, OverflowError):
        flag, words = spec.metadata['flag'], spec.metadata['range']
        text = repr(value)
        if len(text) > 60 or '\n' in text:
            cut = ' '.join(text[:57].split()) + '...'
            text = f'<array of shape {value.shape}>' if isinstance(value, np.ndarray) else cut
        raise _impossible(f'{spec.name}={text} is impossible: it must be {words} (C flag {flag})') from None
