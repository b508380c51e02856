# Types of the public names, for editors and mypy; `python -m mypy.stubtest hotpants_cy` compares them with the code.
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, overload

import numpy as np
from astropy.config import ConfigNamespace
from astropy.coordinates import SkyCoord
from astropy.io.fits.hdu.base import _BaseHDU
from astropy.nddata import BitFlagNameMap, CCDData, Covariance, Cutout2D, NDData
from astropy.table import QTable, Table
from astropy.units import Quantity
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike, NDArray

# the modules that __getattr__ offers
from . import behaviour as behaviour
from . import candidates as candidates
from . import config as config
from . import datasets as datasets
from . import exceptions as exceptions
from . import inputs as inputs
from . import inspection as inspection
from . import kernel as kernel
from . import matching as matching
from . import photometry as photometry
from . import pipeline as pipeline
from . import products as products
from . import stamps as stamps
from . import subtraction as subtraction
from . import versions as versions
from .exceptions import DeconvolutionWarning as DeconvolutionWarning
from .exceptions import HotpantsError as HotpantsError
from .exceptions import HotpantsWarning as HotpantsWarning
from .exceptions import InputError as InputError
from .exceptions import MismatchError as MismatchError
from .exceptions import NoiseModelWarning as NoiseModelWarning
from .exceptions import NoStampsError as NoStampsError
from .exceptions import NotSupportedError as NotSupportedError
from .exceptions import OutputError as OutputError
from .exceptions import RegistrationWarning as RegistrationWarning
from .exceptions import SingularFitError as SingularFitError
from .exceptions import TooFewStampsError as TooFewStampsError
from .inspection.quality import Measure, Quality
from .inspection.recovery import Recovery
from .kernel.basis import GaussianBasis, ImageBasis
from .kernel.spatial import RegionFrame
from .kernel.table import KernelTable
from .products.correlation import DifferenceNoise
from .products.psf import FieldPSF
from .regional import RegionalSubtraction
from .stamps.substamp import Substamp as _Substamp
from .stamps.substamp import SubstampStatus as SubstampStatus

_Path: TypeAlias = str | os.PathLike[str]
_Image: TypeAlias = CCDData | NDData | NDArray[Any] | _BaseHDU | _Path
_Stars: TypeAlias = Table | SkyCoord | ArrayLike | _Path     # 'auto' too
_Positions: TypeAlias = Table | SkyCoord | ArrayLike
_Direction: TypeAlias = Literal['t', 'i']
_Grade: TypeAlias = Literal['good', 'usable', 'bad']
_Section: TypeAlias = tuple[int, int, int, int]
_Several: TypeAlias = Sequence[float] | NDArray[Any]
_PSF: TypeAlias = ArrayLike | Callable[[float, float], Any]  # models of photutils too
_Header: TypeAlias = Mapping[str, Any]
_Plane: TypeAlias = NDArray[np.float32]

__version__: str
__all__ = [
    'DeconvolutionWarning',
    'Hotpants',
    'HotpantsConfig',
    'HotpantsError',
    'HotpantsFlags',
    'HotpantsWarning',
    'InputError',
    'KernelModel',
    'KernelMosaic',
    'MismatchError',
    'NoStampsError',
    'NoiseModelWarning',
    'NotSupportedError',
    'OutputError',
    'RegistrationWarning',
    'SingularFitError',
    'Substamp',
    'SubstampStatus',
    'SubtractionResult',
    'TooFewStampsError',
    '__version__',
    'conf',
    'find_stars',
    'inject',
    'match_psf',
    'recovery',
    'show_versions',
    'subtract',
]
class _Conf(ConfigNamespace):
    n_threads: int
    log_to_header: bool

conf: _Conf

def show_versions() -> None: ...

class HotpantsFlags(BitFlagNameMap):
    BAD_CONV: int
    BAD_PIXVAL: int
    INPUT_ISBAD: int
    INPUT_MASK: int
    I_BAD: int
    I_SKIP: int
    LOW: int
    NAN: int
    OK_CONV: int
    OUTPUT_ISBAD: int
    SAT: int
    T_BAD: int
    T_SKIP: int

class Substamp(_Substamp):
    @property
    def image_cutout(self) -> _Plane: ...
    @property
    def template_cutout(self) -> _Plane: ...
    @property
    def noise_variance_cutout(self) -> _Plane: ...
    @property
    def basis_vectors(self) -> NDArray[np.float64]: ...
    @property
    def fit_results(self) -> dict[_Direction, dict[str, float | None]]: ...
    @property
    def local_kernel_solution(self) -> NDArray[np.float64] | None: ...
    @property
    def convolved_model_local(self) -> _Plane: ...
    @property
    def convolved_model_global(self) -> _Plane | None: ...

class HotpantsConfig:
    tuthresh: float | None
    tuktresh: float | None
    tlthresh: float | None
    tgain: float
    trdnoise: float
    tpedestal: float
    iuthresh: float | None
    iuktresh: float | None
    ilthresh: float | None
    igain: float
    irdnoise: float
    ipedestal: float
    rkernel: int
    kcs: int | None
    exact: bool
    weights: bool
    robust: Literal['huber', 'tukey'] | None
    ko: int
    bgo: int
    ngauss: int | None
    deg_fixe: tuple[int, ...]
    sigma_gauss: tuple[float, ...]
    fitthresh: float
    scale_fitthresh: float
    min_frac_stamps: float
    nregx: int
    nregy: int
    good_range: _Section | None
    region_list: tuple[_Section, ...] | None
    same_direction: bool
    nstampx: int
    nstampy: int
    nx: int
    ny: int
    nss: int
    rss: int
    ks: float
    kfm: float
    stat_sig: float
    kf_spread_mask1: float
    kf_spread_mask2: float
    force_convolve: Literal['b', 't', 'i']
    normalize: Literal['t', 'i', 'u']
    fom: Literal['v', 's', 'h']
    fillval: float
    fillval_noise: float
    conv_var: bool
    rescale_ok: bool
    use_pca: bool | None
    basis_images: NDArray[Any] | None
    auto_search: bool
    verbose: int
    parity: bool
    output_file: str | None
    noise_image_file: str | None
    mask_image_file: str | None
    convolved_image_file: str | None
    sigma_image_file: str | None
    stamp_region_file: str | None
    def __init__(
        self, *,
        tuthresh: float | None = ..., tuktresh: float | None = ..., tlthresh: float | None = ...,
        tgain: float = ..., trdnoise: float = ..., tpedestal: float = ..., iuthresh: float | None = ...,
        iuktresh: float | None = ..., ilthresh: float | None = ..., igain: float = ..., irdnoise: float = ...,
        ipedestal: float = ..., rkernel: int = ..., kcs: int | None = ..., exact: bool = ..., weights: bool = ...,
        robust: Literal['huber', 'tukey'] | None = ..., ko: int = ..., bgo: int = ..., ngauss: int | None = ...,
        deg_fixe: Sequence[int] = ..., sigma_gauss: Sequence[float] = ..., fitthresh: float = ...,
        scale_fitthresh: float = ..., min_frac_stamps: float = ..., nregx: int = ..., nregy: int = ...,
        good_range: Sequence[int] | None = ..., region_list: Sequence[Sequence[int]] | None = ...,
        same_direction: bool = ..., nstampx: int = ..., nstampy: int = ..., nx: int = ..., ny: int = ...,
        nss: int = ..., rss: int = ..., ks: float = ..., kfm: float = ..., stat_sig: float = ...,
        kf_spread_mask1: float = ..., kf_spread_mask2: float = ..., force_convolve: Literal['b', 't', 'i'] = ...,
        normalize: Literal['t', 'i', 'u'] = ..., fom: Literal['v', 's', 'h'] = ..., fillval: float = ...,
        fillval_noise: float = ..., conv_var: bool = ..., rescale_ok: bool = ..., use_pca: bool | None = ...,
        basis_images: ArrayLike | None = ..., auto_search: bool = ..., verbose: int | bool = ...,
        parity: bool = ..., output_file: _Path | None = ..., noise_image_file: _Path | None = ...,
        mask_image_file: _Path | None = ..., convolved_image_file: _Path | None = ...,
        sigma_image_file: _Path | None = ..., stamp_region_file: _Path | None = ...) -> None: ...
    @classmethod
    def auto(cls, science: _Image, template: _Image, stars: _Stars | None = None, *, avoid: _Stars | None = None,
             avoid_radius: float | None = None, science_fwhm: float | None = None, template_fwhm: float | None = None,
             n_threads: int | None = None, **fixed: Any) -> HotpantsConfig: ...
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HotpantsConfig: ...
    def to_dict(self) -> dict[str, Any]: ...
    def replace(self, **changes: Any) -> HotpantsConfig: ...
    def explain(self) -> None: ...
    def explained(self) -> list[tuple[str, str, str]]: ...
    @property
    def reasons(self) -> dict[str, str]: ...
    def with_reasons(self, reasons: Mapping[str, str]) -> HotpantsConfig: ...
    def single(self, name: str) -> float: ...
    def stamp_width(self, nx: int, ny: int) -> int: ...
    @property
    def kernel_width(self) -> int: ...
    @property
    def substamp_width(self) -> int: ...
    @property
    def fwkernel(self) -> int: ...
    @property
    def fwksstamp(self) -> int: ...
    @property
    def hwkernel(self) -> int: ...
    @property
    def hwksstamp(self) -> int: ...
    @property
    def fwstamp(self) -> int: ...
    @property
    def ncomp_ker(self) -> int: ...
    @property
    def n_bg_vectors(self) -> int: ...
    @property
    def n_comp_total(self) -> int: ...
    @property
    def block_width(self) -> int: ...

class KernelModel:
    solution: NDArray[np.float64]
    basis: GaussianBasis | ImageBasis
    ko: int
    bgo: int
    frame: RegionFrame
    direction: _Direction
    block_width: int
    covariance: NDArray[np.float64] | None
    def __init__(self, solution: NDArray[np.float64], basis: GaussianBasis | ImageBasis, ko: int, bgo: int,
                 frame: RegionFrame, direction: _Direction, block_width: int,
                 covariance: NDArray[np.float64] | None = None) -> None: ...
    def image(self, x: float, y: float) -> NDArray[np.float64]: ...
    def images(self, x: _Several, y: _Several) -> NDArray[np.float64]: ...
    def coefficients(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]: ...
    def sum(self, x: float, y: float) -> float: ...
    def sum_error(self, x: float, y: float) -> float: ...
    @overload
    def background(self, x: float, y: float) -> float: ...
    @overload
    def background(self, x: _Several, y: _Several) -> NDArray[np.float64]: ...
    @overload
    def apply(self, image: NDArray[Any], *, background: bool = False, exact: bool = False,
              n_threads: int | None = None) -> _Plane: ...
    @overload
    def apply(self, image: CCDData | NDData, *, background: bool = False, exact: bool = False,
              n_threads: int | None = None) -> CCDData: ...
    def convolved(self, data: NDArray[Any], variance: NDArray[Any] | None = None, flags: NDArray[Any] | None = None, *,
                  background: bool = False, exact: bool = False, n_threads: int = 1
                  ) -> tuple[_Plane, _Plane, NDArray[np.int32]]: ...
    def convolve_planes(self, data: NDArray[Any], variance: NDArray[Any] | None = None,
                        flags: NDArray[Any] | None = None, *, noise: Any = None, fill: float = 0.0,
                        plain_variance: bool = False, good_fraction: float = 0.99, background: bool = False,
                        exact: bool = False, n_threads: int = 1,
                        memory: Any = None) -> tuple[_Plane, _Plane, NDArray[np.int32]]: ...
    def write(self, path: _Path, *, overwrite: bool = False) -> None: ...
    @staticmethod
    def read(path: _Path) -> KernelModel | KernelMosaic: ...
    @property
    def half_width(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def background_coefficients(self) -> NDArray[np.float64]: ...
    @property
    def varying(self) -> NDArray[np.float64]: ...

class KernelMosaic:
    models: list[KernelModel]
    sections: list[_Section]
    shape: tuple[int, int]
    def __init__(self, models: list[KernelModel], sections: list[_Section], shape: tuple[int, int]) -> None: ...
    def at(self, x: float, y: float) -> KernelModel: ...
    def image(self, x: float, y: float) -> NDArray[np.float64]: ...
    def sum(self, x: float, y: float) -> float: ...
    def sum_error(self, x: float, y: float) -> float: ...
    @overload
    def background(self, x: float, y: float) -> float: ...
    @overload
    def background(self, x: _Several, y: _Several) -> NDArray[np.float64]: ...
    @overload
    def apply(self, image: NDArray[Any], *, background: bool = False, exact: bool = False,
              n_threads: int | None = None) -> _Plane: ...
    @overload
    def apply(self, image: CCDData | NDData, *, background: bool = False, exact: bool = False,
              n_threads: int | None = None) -> CCDData: ...
    def convolved(self, data: NDArray[Any], variance: NDArray[Any] | None = None, flags: NDArray[Any] | None = None,
                  **options: Any) -> list[NDArray[Any]]: ...
    def write(self, path: _Path, *, overwrite: bool = False) -> None: ...

class _Quality(Quality):
    measures: tuple[Measure, ...]
    @property
    def verdict(self) -> _Grade: ...
    @property
    def reasons(self) -> list[str]: ...
    def to_table(self) -> Table: ...
    def cards(self) -> dict[str, tuple[str | float, str]]: ...
    def __getitem__(self, name: str) -> Measure: ...
    def __getattr__(self, name: str) -> Measure: ...

class _FieldPSF(FieldPSF):
    @property
    def half_width(self) -> int: ...
    def __call__(self, x: float, y: float) -> NDArray[np.float64]: ...
    def stamp(self, x: float, y: float, pixel: tuple[int, int] | None = None) -> NDArray[np.float64]: ...
    def fwhm(self, x: float, y: float) -> float: ...

class _Noise(DifferenceNoise):
    def aperture_error(self, positions: _Positions, radius: float) -> Quantity: ...
    def psf_flux_error(self, positions: _Positions, psf: FieldPSF) -> Quantity: ...
    def covariance(self, cutout: tuple[slice, slice] | Cutout2D) -> Covariance: ...

class _Recovery(Recovery):
    @property
    def completeness(self) -> float: ...
    def completeness_by_snr(self, edges: ArrayLike = (0, 3, 4, 5, 6, 8, 12, np.inf)) -> QTable: ...
    @property
    def flux_bias(self) -> float: ...
    @property
    def flux_bias_err(self) -> float: ...
    @property
    def pull_mean(self) -> float: ...
    @property
    def pull_width(self) -> float: ...
    @property
    def pull_width_err(self) -> float: ...
    @property
    def false_per_megapixel(self) -> float: ...

class SubtractionResult:
    difference: CCDData
    kernel: KernelModel | KernelMosaic
    direction: _Direction
    statistics: dict[str, float]
    config: HotpantsConfig
    def __init__(self, difference: CCDData, kernel: KernelModel | KernelMosaic, direction: _Direction,
                 statistics: dict[str, float], config: HotpantsConfig, _hot: Hotpants,
                 _stars: list[Substamp]) -> None: ...
    @classmethod
    def of(cls, hot: Hotpants, *, owned: bool = False) -> SubtractionResult: ...
    @property
    def substamps(self) -> QTable: ...
    @property
    def quality(self) -> _Quality: ...
    @property
    def noise(self) -> _Noise: ...
    @property
    def psf(self) -> _FieldPSF: ...
    @property
    def convolved(self) -> CCDData: ...
    @property
    def background(self) -> CCDData: ...
    @property
    def whitened(self) -> CCDData: ...
    @property
    def score(self) -> CCDData: ...
    @property
    def flux(self) -> CCDData: ...
    def find_candidates(self, threshold: float = 5.0) -> QTable: ...
    def aperture_error(self, positions: _Positions, radius: float) -> Quantity: ...
    def psf_flux_error(self, positions: _Positions) -> Quantity: ...
    def covariance(self, cutout: tuple[slice, slice] | Cutout2D) -> Covariance: ...
    def plot(self, figure: Figure | SubFigure | None = None) -> Figure: ...
    def plot_kernel(self, figure: Figure | SubFigure | None = None, grid: tuple[int, int] = (3, 3)) -> Figure: ...
    def plot_kernel_at(self, x: float, y: float, ax: Axes | None = None) -> Figure: ...
    def plot_substamps(self, n: int = 8, figure: Figure | SubFigure | None = None) -> Figure: ...
    def plot_quality(self, figure: Figure | SubFigure | None = None) -> Figure: ...
    def plot_pulls(self, ax: Axes | None = None) -> Figure: ...
    def plot_flux_ratio(self, ax: Axes | None = None) -> Figure: ...
    def plot_residuals(self, ax: Axes | None = None) -> Figure: ...
    def report(self, path: _Path, overwrite: bool = False) -> None: ...

def subtract(science: _Image, template: _Image, *, config: HotpantsConfig | Literal['auto'] | None = None,
             stars: _Stars | None = None, avoid: _Stars | None = None, avoid_radius: float | None = None,
             psf: _PSF | None = None,
             noise_correlations: Sequence[ArrayLike | None] | Literal['measure'] | None = None,
             n_threads: int | None = None) -> SubtractionResult: ...
def match_psf(image: _Image, reference: _Image, *, config: HotpantsConfig | Literal['auto'] | None = None,
              stars: _Stars | None = None, avoid: _Stars | None = None, avoid_radius: float | None = None,
              background: bool = False, noise_correlations: Sequence[ArrayLike | None] = (None, None),
              n_threads: int | None = None) -> CCDData: ...
def find_stars(ccd: _Image, *, fwhm: float | None = None, threshold: float = 10.0, n_brightest: int = 500,
               saturation: float | None = None, avoid: _Stars | None = None, avoid_radius: float = 5.0,
               mask: ArrayLike | None = None) -> QTable: ...
@overload
def inject(image: NDArray[Any], sources: Table | Mapping[str, Any], psf: _PSF | None = None, *,
           gain: float | None = None, seed: int | np.random.Generator | None = None, saturation: float | None = None,
           half_width: int | None = None) -> NDArray[Any]: ...
@overload
def inject(image: CCDData | NDData | _Path, sources: Table | Mapping[str, Any], psf: _PSF | None = None, *,
           gain: float | None = None, seed: int | np.random.Generator | None = None, saturation: float | None = None,
           half_width: int | None = None) -> CCDData: ...
def recovery(result: SubtractionResult, sources: Table | Mapping[str, Any], *,
             into: Literal['science', 'template'] = 'science', threshold: float = 5.0, radius: float | None = None,
             known: _Stars | None = None) -> _Recovery: ...

class _Stats(TypedDict):
    diff_mean: float
    diff_std: float
    noise_mean: float
    x2norm: float
    nx2norm: int

class _FitStats(TypedDict):
    meansig: float
    scatter: float
    nskipped: int

class _Outputs(TypedDict):
    diff_image: _Plane
    convolved_image: _Plane
    noise_image: _Plane
    output_mask: NDArray[np.int32]
    stats: _Stats
    conv_direction: _Direction
    kernel_solution: NDArray[np.float64]
    fit_stats: _FitStats

class _Results(_Outputs):
    input_mask: NDArray[np.int32]
    t_noise_sq: _Plane
    i_noise_sq: _Plane
    final_fits: list[Substamp]

class _Location(TypedDict):
    id: int
    x: int
    y: int

class _Locations(TypedDict):
    convolution_direction: _Direction
    locations: list[_Location]

class _SubstampDetails(TypedDict):
    template_substamps: list[Substamp]
    image_substamps: list[Substamp]
    final_fit_locations: _Locations

class Hotpants:
    keep_convolved: bool
    given_psf: Any
    n_threads: int
    def __init__(self, template_data: _Image, image_data: _Image, t_mask: ArrayLike | None = None,
                 i_mask: ArrayLike | None = None, t_error: ArrayLike | None = None, i_error: ArrayLike | None = None,
                 star_catalog: ArrayLike | None = None, config: HotpantsConfig | None = None,
                 output_header: _Header | None = None, *, stars: _Stars | None = None, avoid: _Stars | None = None,
                 avoid_radius: float | None = None, noise_correlations: Sequence[ArrayLike | None] = (None, None),
                 n_threads: int | None = None) -> None: ...
    def find_stamps(self) -> tuple[list[Substamp], list[Substamp]]: ...
    def fit_and_select_direction(self) -> _Direction: ...
    def iterative_fit_and_clip(self) -> tuple[NDArray[np.float64], list[Substamp]]: ...
    def convolve_and_difference(self) -> tuple[_Plane, _Plane, _Plane, NDArray[np.int32]]: ...
    def get_final_outputs(self) -> _Outputs: ...
    def run_pipeline(self) -> _Outputs: ...
    def save_outputs(self) -> None: ...
    def get_substamp_details(self) -> _SubstampDetails: ...
    def visualize_kernel(self, at_coords: _Several, size_factor: float = 2.0) -> NDArray[np.float64]: ...
    def substamps(self, direction: _Direction) -> list[Substamp]: ...
    def adopt_kernels(self, table: KernelTable) -> None: ...
    def again(self, correlations: Sequence[NDArray[np.float64] | None], words: str) -> Hotpants: ...
    def assemble(self, name: str) -> NDArray[Any]: ...
    def convolved_is_written(self, low: float = ..., high: float = ...) -> None: ...
    @property
    def config(self) -> HotpantsConfig: ...
    @config.setter
    def config(self, config: HotpantsConfig | None) -> None: ...
    @property
    def kernel(self) -> KernelModel | KernelMosaic: ...
    @property
    def results(self) -> _Results: ...
    @property
    def template_substamps(self) -> list[Substamp]: ...
    @property
    def image_substamps(self) -> list[Substamp]: ...
    @property
    def final_substamps(self) -> list[Substamp]: ...
    @property
    def refused_substamps(self) -> list[Substamp]: ...
    @property
    def region(self) -> RegionalSubtraction: ...
    @property
    def live_regions(self) -> list[RegionalSubtraction]: ...
    @property
    def difference_psf(self) -> FieldPSF: ...
    @property
    def template_data(self) -> _Plane: ...
    @property
    def image_data(self) -> _Plane: ...
    @property
    def template_header(self) -> _Header: ...
    @property
    def image_header(self) -> _Header: ...
    @property
    def output_header(self) -> _Header: ...
    @property
    def nx(self) -> int: ...
    @property
    def ny(self) -> int: ...
