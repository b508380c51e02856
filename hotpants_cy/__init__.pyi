# Types of the public names, for editors and mypy; `python -m mypy.stubtest hotpants_cy` compares them with the code.
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from astropy.config import ConfigNamespace
from astropy.coordinates import SkyCoord
from astropy.io.fits.hdu.base import _BaseHDU
from astropy.nddata import BitFlagNameMap, CCDData, NDData
from astropy.table import QTable, Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

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
from .stamps.substamp import Substamp as Substamp
from .stamps.substamp import SubstampStatus as SubstampStatus

_Path: TypeAlias = str | os.PathLike[str]
_Image: TypeAlias = CCDData | NDData | NDArray[Any] | _BaseHDU | _Path
_Stars: TypeAlias = Table | SkyCoord | ArrayLike | _Path     # 'auto' too
_Direction: TypeAlias = Literal['t', 'i']

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
conf: ConfigNamespace

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
    robust: str | None
    ko: int
    bgo: int
    ngauss: int | None
    deg_fixe: tuple
    sigma_gauss: tuple
    fitthresh: float
    scale_fitthresh: float
    min_frac_stamps: float
    nregx: int
    nregy: int
    good_range: tuple | None
    region_list: tuple | None
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
    force_convolve: str
    normalize: str
    fom: str
    fillval: float
    fillval_noise: float
    conv_var: bool
    rescale_ok: bool
    use_pca: bool | None
    basis_images: np.ndarray | None
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
        tuthresh: float | None = ..., tuktresh: float | None = ..., tlthresh: float | None = ..., tgain: float = ...,
        trdnoise: float = ..., tpedestal: float = ..., iuthresh: float | None = ..., iuktresh: float | None = ...,
        ilthresh: float | None = ..., igain: float = ..., irdnoise: float = ..., ipedestal: float = ...,
        rkernel: int = ..., kcs: int | None = ..., exact: bool = ..., weights: bool = ..., robust: str | None = ...,
        ko: int = ..., bgo: int = ..., ngauss: int | None = ..., deg_fixe: tuple = ..., sigma_gauss: tuple = ...,
        fitthresh: float = ..., scale_fitthresh: float = ..., min_frac_stamps: float = ..., nregx: int = ...,
        nregy: int = ..., good_range: tuple | None = ..., region_list: tuple | None = ..., same_direction: bool = ...,
        nstampx: int = ..., nstampy: int = ..., nx: int = ..., ny: int = ..., nss: int = ..., rss: int = ...,
        ks: float = ..., kfm: float = ..., stat_sig: float = ..., kf_spread_mask1: float = ...,
        kf_spread_mask2: float = ..., force_convolve: str = ..., normalize: str = ..., fom: str = ...,
        fillval: float = ..., fillval_noise: float = ..., conv_var: bool = ..., rescale_ok: bool = ...,
        use_pca: bool | None = ..., basis_images: np.ndarray | None = ..., auto_search: bool = ...,
        verbose: int = ..., parity: bool = ..., output_file: str | None = ..., noise_image_file: str | None = ...,
        mask_image_file: str | None = ..., convolved_image_file: str | None = ..., sigma_image_file: str | None = ...,
        stamp_region_file: str | None = ...) -> None: ...
    @classmethod
    def auto(cls, science: _Image, template: _Image, stars: _Stars | None = None, *, avoid: _Stars | None = None,
             avoid_radius: Any = None, science_fwhm: float | None = None, template_fwhm: float | None = None,
             n_threads: int | None = None, **fixed: Any) -> HotpantsConfig: ...
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HotpantsConfig: ...
    def to_dict(self) -> dict[str, Any]: ...
    def replace(self, **changes: Any) -> HotpantsConfig: ...
    def explain(self) -> None: ...
    def explained(self) -> Any: ...
    @property
    def reasons(self) -> Any: ...
    def with_reasons(self, reasons: Any) -> HotpantsConfig: ...
    def single(self, name: str) -> Any: ...
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
    basis: Any
    ko: int
    bgo: int
    frame: Any
    direction: _Direction
    block_width: int
    covariance: NDArray[np.float64] | None
    def __init__(self, solution: NDArray[np.float64], basis: Any, ko: int, bgo: int, frame: Any, direction: _Direction,
                 block_width: int, covariance: NDArray[np.float64] | None = None) -> None: ...
    def image(self, x: float, y: float) -> NDArray[np.float64]: ...
    def images(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]: ...
    def coefficients(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]: ...
    def sum(self, x: ArrayLike, y: ArrayLike) -> Any: ...
    def sum_error(self, x: ArrayLike, y: ArrayLike) -> Any: ...
    def background(self, x: ArrayLike, y: ArrayLike) -> Any: ...
    def apply(self, image: Any, *, background: bool = False, exact: bool = False,
              n_threads: int | None = None) -> Any: ...
    def convolved(self, data: NDArray[Any], variance: NDArray[Any] | None = None, flags: NDArray[Any] | None = None, *,
                  background: bool = False, exact: bool = False, n_threads: int = 1) -> tuple[Any, ...]: ...
    def convolve_planes(self, data: NDArray[Any], variance: NDArray[Any] | None = None,
                        flags: NDArray[Any] | None = None, *, noise: Any = None, fill: float = 0.0,
                        plain_variance: bool = False, good_fraction: float = 0.99, background: bool = False,
                        exact: bool = False, n_threads: int = 1) -> tuple[Any, ...]: ...
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
    sections: list[Any]
    shape: tuple[int, int]
    def __init__(self, models: list[KernelModel], sections: list[Any], shape: tuple[int, int]) -> None: ...
    def at(self, x: float, y: float) -> KernelModel: ...
    def image(self, x: float, y: float) -> NDArray[np.float64]: ...
    def sum(self, x: ArrayLike, y: ArrayLike) -> Any: ...
    def sum_error(self, x: ArrayLike, y: ArrayLike) -> Any: ...
    def background(self, x: ArrayLike, y: ArrayLike) -> Any: ...
    def apply(self, image: Any, *, background: bool = False, exact: bool = False,
              n_threads: int | None = None) -> Any: ...
    def convolved(self, data: NDArray[Any], variance: NDArray[Any] | None = None, flags: NDArray[Any] | None = None,
                  **options: Any) -> tuple[Any, ...]: ...
    def write(self, path: _Path, *, overwrite: bool = False) -> None: ...

class SubtractionResult:
    difference: CCDData
    kernel: KernelModel | KernelMosaic
    direction: Any
    statistics: dict[str, Any]
    substamps: QTable
    config: HotpantsConfig
    def __init__(self, difference: CCDData, kernel: KernelModel | KernelMosaic, direction: Any,
                 statistics: dict[str, Any], substamps: QTable, config: HotpantsConfig, _hot: Hotpants) -> None: ...
    @classmethod
    def of(cls, hot: Hotpants, *, owned: bool = False) -> SubtractionResult: ...
    @property
    def quality(self) -> Any: ...
    @property
    def noise(self) -> Any: ...
    @property
    def psf(self) -> Any: ...
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
    def aperture_error(self, positions: Any, radius: float) -> Any: ...
    def psf_flux_error(self, positions: Any) -> Any: ...
    def covariance(self, cutout: Any) -> Any: ...
    def plot(self, figure: Figure | None = None) -> Figure: ...
    def plot_kernel(self, figure: Figure | None = None, grid: tuple[int, int] = (3, 3)) -> Figure: ...
    def plot_kernel_at(self, x: float, y: float, ax: Axes | None = None) -> Axes: ...
    def plot_substamps(self, n: int = 8, figure: Figure | None = None) -> Figure: ...
    def plot_quality(self, figure: Figure | None = None) -> Figure: ...
    def plot_pulls(self, ax: Axes | None = None) -> Axes: ...
    def plot_flux_ratio(self, ax: Axes | None = None) -> Axes: ...
    def plot_residuals(self, ax: Axes | None = None) -> Axes: ...
    def report(self, path: _Path, overwrite: bool = False) -> None: ...

def subtract(science: _Image, template: _Image, *, config: HotpantsConfig | Literal['auto'] | None = None,
             stars: _Stars | None = None, avoid: _Stars | None = None, avoid_radius: Any = None, psf: Any = None,
             noise_correlations: Sequence[Any] = (None, None), n_threads: int | None = None) -> SubtractionResult: ...
def match_psf(image: _Image, reference: _Image, *, config: HotpantsConfig | Literal['auto'] | None = None,
              stars: _Stars | None = None, avoid: _Stars | None = None, avoid_radius: Any = None,
              background: bool = False, n_threads: int | None = None) -> CCDData: ...
def find_stars(ccd: _Image, *, fwhm: float | None = None, threshold: float = 10.0, n_brightest: int | None = 500,
               saturation: float | None = None, avoid: _Stars | None = None, avoid_radius: Any = 5.0,
               mask: Any = None) -> QTable: ...
def inject(image: _Image, sources: Table, psf: Any = None, *, gain: float | None = None, seed: Any = None,
           saturation: float | None = None, half_width: int | None = None) -> CCDData: ...
def recovery(result: SubtractionResult, sources: Table, *, into: Literal['science', 'template'] = 'science',
             threshold: float = 5.0, radius: float | None = None, known: Any = None) -> Any: ...

class Hotpants:
    def __init__(self, template_data: _Image, image_data: _Image, t_mask: Any = ..., i_mask: Any = ...,
                 t_error: Any = ..., i_error: Any = ..., star_catalog: _Stars | None = ...,
                 config: HotpantsConfig | None = ..., output_header: Any = ..., *, stars: Any = ...,
                 avoid: Any = ..., avoid_radius: Any = ..., n_threads: int | None = ...) -> None: ...
    def adopt_kernels(self, table: Any) -> Any: ...
    def assemble(self, name: Any) -> Any: ...
    @property
    def config(self) -> Any: ...
    def convolve_and_difference(self) -> Any: ...
    def convolved_is_written(self, low: Any = ..., high: Any = ...) -> Any: ...
    @property
    def final_substamps(self) -> Any: ...
    def find_stamps(self) -> Any: ...
    def fit_and_select_direction(self) -> Any: ...
    def get_final_outputs(self) -> Any: ...
    def get_substamp_details(self) -> Any: ...
    @property
    def image_data(self) -> Any: ...
    @property
    def image_header(self) -> Any: ...
    @property
    def image_substamps(self) -> Any: ...
    def iterative_fit_and_clip(self) -> Any: ...
    @property
    def keep_convolved(self) -> Any: ...
    @property
    def kernel(self) -> Any: ...
    @property
    def live_regions(self) -> Any: ...
    @property
    def nx(self) -> Any: ...
    @property
    def ny(self) -> Any: ...
    @property
    def output_header(self) -> Any: ...
    @property
    def refused_substamps(self) -> Any: ...
    @property
    def region(self) -> Any: ...
    @property
    def results(self) -> Any: ...
    def run_pipeline(self) -> Any: ...
    def save_outputs(self) -> Any: ...
    def substamps(self, direction: Any) -> Any: ...
    @property
    def template_data(self) -> Any: ...
    @property
    def template_header(self) -> Any: ...
    @property
    def template_substamps(self) -> Any: ...
    def visualize_kernel(self, at_coords: Any, size_factor: Any = ...) -> Any: ...
