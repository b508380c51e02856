"""The flags of C HOTPANTS 5.1.11 and ours: the one table that parsing, ``--help`` and configuration come from."""

from dataclasses import dataclass

__all__ = ['FLAGS', 'Flag']


@dataclass(frozen=True)
class Flag:
    """One flag of the command line.

    Parameters
    ----------
    name : str
        The flag as it is typed, in lower case.
    values : str
        What follows it, a letter a token: S text, F number, I whole number, C letter; ``'I(IF)'`` is a count
        and as many pairs.
    default : object
        What C takes without the flag.
    field : str
        The field of `HotpantsConfig` that it sets, or nothing.
    help : str
        One line for ``--help``.
    metavar : str, optional
        Name of the values there.
    letters : str, optional
        First letters that a C value may have.
    """

    name: str
    values: str
    default: object
    field: str
    help: str
    metavar: str = ''
    letters: str = ''

    @property
    def dest(self):
        """Name of its value in the namespace."""
        return self.name.lstrip('-').replace('-', '_')


FLAGS = {
    'Files': (
        Flag('-inim', 'S', None, '', 'science image; path[EXT] chooses an extension'),
        Flag('-tmplim', 'S', None, '', 'template image'),
        Flag('-outim', 'S', None, '', 'difference, science minus template'),
        Flag('-oni', 'S', None, '', 'noise of the difference'),
        Flag('-ond', 'S', None, '', 'difference over its noise'),
        Flag('-oci', 'S', None, '', 'convolved image'),
        Flag('-omi', 'S', None, '', 'mask of the difference'),
        Flag('-oki', 'S', None, '', 'kernel table'),
        Flag('-savexy', 'S', None, '', 'ds9 regions of the stars used; also FILE.all and FILE.skipped'),
        Flag('-nc', '', False, '', 'do not replace files that exist'),
    ),
    'Template': (
        Flag('-tu', 'F', 25000., 'tuthresh', 'pixels at or above this value are bad'),
        Flag('-tuk', 'F', 25000., 'tuktresh', 'pixels at or above this value are not fitted; does not follow -tu'),
        Flag('-tl', 'F', 0., 'tlthresh', 'pixels at or below this value are bad'),
        Flag('-tg', 'F', 1., 'tgain', 'gain, electrons per data unit'),
        Flag('-tr', 'F', 0., 'trdnoise', 'read noise, electrons'),
        Flag('-tp', 'F', 0., 'tpedestal', 'pedestal, subtracted from data and thresholds'),
        Flag('-tni', 'S', None, '', 'noise image (1 sigma), instead of gain and read noise'),
        Flag('-tmi', 'S', None, '', 'mask image'),
    ),
    'Science image': (
        Flag('-iu', 'F', 25000., 'iuthresh', 'pixels at or above this value are bad'),
        Flag('-iuk', 'F', 25000., 'iuktresh', 'pixels at or above this value are not fitted; does not follow -iu'),
        Flag('-il', 'F', 0., 'ilthresh', 'pixels at or below this value are bad'),
        Flag('-ig', 'F', 1., 'igain', 'gain, electrons per data unit'),
        Flag('-ir', 'F', 0., 'irdnoise', 'read noise, electrons'),
        Flag('-ip', 'F', 0., 'ipedestal', 'pedestal, subtracted from data and thresholds'),
        Flag('-ini', 'S', None, '', 'noise image (1 sigma), instead of gain and read noise'),
        Flag('-imi', 'S', None, '', 'mask image'),
    ),
    'Stamps and stars': (
        Flag('-nsx', 'I', 10, 'nstampx', 'stamps in x'),
        Flag('-nsy', 'I', 10, 'nstampy', 'stamps in y'),
        Flag('-nss', 'I', 3, 'nss', 'stars (substamps) kept per stamp'),
        Flag('-rss', 'I', 15, 'rss', 'half width of a substamp, pixels'),
        Flag('-ft', 'F', 20., 'fitthresh', 'height of a usable star over the sky, in sky sigmas'),
        Flag('-sft', 'F', 0.5, 'scale_fitthresh', 'factor on -ft in a second search'),
        Flag('-nft', 'F', 0.1, 'min_frac_stamps', 'fraction of filled stamps below which there is one'),
        Flag('-ssf', 'S', None, '', 'file with positions x y of stars, 1-based'),
        Flag('-cmp', 'S', None, '', 'the same, without its first line'),
        Flag('-afssc', 'I', 1, 'auto_search', 'search stars beside those of the file; 0: do not'),
    ),
    'Kernel and background': (
        Flag('-r', 'I', 10, 'rkernel', 'half width of the kernel, pixels'),
        Flag('-ko', 'I', 2, 'ko', 'spatial order of the kernel'),
        Flag('-bgo', 'I', 1, 'bgo', 'spatial order of the background'),
        Flag('-ng', 'I(IF)', None, '', 'Gaussians: their number, then polynomial degree and sigma in pixels of each; '
             '3 6 0.7 4 1.5 2 3.0 without it', 'N DEG SIGMA ...'),
        Flag('-pca', 'I(S)', None, '', 'basis images: their number and files', 'N FILE ...'),
        Flag('-ki', 'S', None, '', 'take the kernel from this table'),
        Flag('-kcs', 'I', 0, 'kcs', 'width of the blocks with one kernel, pixels; 0 is the width of the kernel'),
        Flag('--exact', '', False, 'exact', 'a kernel for each pixel, not for each block'),
        Flag('--weights', '', False, 'weights', 'weigh each pixel of the fit with its noise, masked ones with nothing'),
        Flag('--robust', 'S', None, 'robust', 'loss of the fit: huber or tukey, so that stars that vary count less',
             'LOSS'),
        Flag('-ssig', 'F', 3., 'stat_sig', 'clipping of all statistics, sigmas'),
        Flag('-ks', 'F', 2., 'ks', 'rejection of stars in the fit, sigmas'),
        Flag('-fom', 'C', 'v', 'fom', 'merit of a star: variance, sigma or histogram', 'v|s|h', 'vsh'),
    ),
    'Direction and normalisation': (
        Flag('-c', 'C', 'b', 'force_convolve', 'convolve template, science image or what fits better',
             't|i|b', 'tib'),
        Flag('-n', 'C', 't', 'normalize', 'flux scale of template, science image or unconvolved image',
             't|i|u', 'tiu'),
    ),
    'Noise and masks': (
        Flag('-convvar', '', False, 'conv_var', 'convolve the variance with the kernel, not with its square'),
        Flag('-okn', '', False, 'rescale_ok', 'rescale the noise of pixels near bad ones'),
        Flag('-kfm', 'F', 0.99, 'kfm', 'least weight of the kernel on good pixels'),
        Flag('-mins', 'F', 1., 'kf_spread_mask1', 'growth of the input mask, kernel half widths'),
        Flag('-mous', 'F', 1., 'kf_spread_mask2', 'below 0: do not fill bad pixels'),
        Flag('-fi', 'F', 1e-30, 'fillval', 'value of bad pixels, also on input'),
        Flag('-fin', 'F', 0., 'fillval_noise', 'value of bad pixels of the noise'),
        Flag('--measure-noise', '', False, '', 'measure what noise neighbouring pixels share in images that were '
             'resampled, and fit again'),
        Flag('--pixels-only', '', False, '', 'leave out MASK and UNCERT extensions of the images, as C does'),
    ),
    'Output layers': (
        Flag('-cim', '', False, '', 'append the convolved image to the difference'),
        Flag('-ndm', '', False, '', 'append the difference over its noise'),
        Flag('-nim', '', False, '', 'append the noise'),
        Flag('-allm', '', False, '', 'append all three'),
        Flag('-hki', '', False, '', 'append the kernel table'),
        Flag('--score', 'S', None, '', 'significance of a point source in each pixel'),
        Flag('--whiten', 'S', None, '', 'the difference with white noise of sigma 1'),
        Flag('--candidates', 'S', None, '', 'table (ECSV) of the sources above 5 sigma'),
        Flag('--report', 'S', None, '', 'HTML page: verdict, pictures, numbers, parameters with their reasons'),
        Flag('-sht', '', False, '', '16-bit images'),
        Flag('-obs', 'F', 1., '', 'their BSCALE'),
        Flag('-obz', 'F', 0., '', 'their BZERO'),
        Flag('-nsht', '', False, '', '16-bit noise'),
        Flag('-nbs', 'F', 1., '', 'its BSCALE'),
        Flag('-nbz', 'F', 0., '', 'its BZERO'),
    ),
    'Regions': (
        Flag('-nrx', 'I', 1, 'nregx', 'regions in x'),
        Flag('-nry', 'I', 1, 'nregy', 'regions in y'),
        Flag('-gd', 'IIII', None, 'good_range', 'use only this part', 'XMIN XMAX YMIN YMAX'),
        Flag('-rf', 'S', None, '', 'file with regions, xmin:xmax,ymin:ymax in each line, 0-based'),
        Flag('-rkw', 'SI', None, '', 'header keyword and number of regions', 'KEY N'),
        Flag('-sconv', '', False, 'same_direction', 'one direction for all regions'),
    ),
    'Other': (
        Flag('--auto', '', False, '', 'choose all parameters that are not given from the images; implies --no-parity'),
        Flag('--stars', 'S', None, '', "stars to use: 'auto', or a table, ds9 or ECSV file; 0-based or sky positions"),
        Flag('--avoid', 'S', None, '', 'file with positions that no star used may be near to'),
        Flag('-v', 'I', 1, 'verbose', 'messages: 0, 1 or 2'),
        Flag('-ef', 'S', None, '', 'accepted and not used, as in C'),
        Flag('-sum', '', False, '', 'accepted and not used, as in C'),
        Flag('--threads', 'I', None, '', 'threads; without it all processors this process may use'),
        Flag('--no-parity', '', False, '', 'leave out what only serves to agree with C to the last bit'),
        Flag('--version', '', False, '', 'print the version'),
        Flag('--help', '', False, '', 'print this; also -help, -h'),
    ),
}
