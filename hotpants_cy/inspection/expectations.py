"""What each measure of a difference should be, and what it means and takes if it is not.

The limits are those of docs/user_guide/trust.rst: what good simulated and real pairs reach, and failures do not.
"""

import math
from dataclasses import dataclass

__all__ = ['EXPECTATIONS', 'GRADES', 'Expectation']

GRADES = ('good', 'usable', 'bad')
_ANY = (-math.inf, math.inf)
_POSITIVE = (1e-300, math.inf)


@dataclass(frozen=True)
class Expectation:
    """Rule of one measure.

    Parameters
    ----------
    keyword, title : str
        Header keyword, and what is measured.
    good, usable : (float, float)
        Lowest and highest value of the grades; beyond ``usable`` a difference is bad.
    fault : str
        What it means and what to do if the value is not good; ``{value}`` and ``{limit}``, the one exceeded, are filled
        in.
    form : str, optional
        Format of the value. Default '.3g'.
    missing : {'good', 'usable'}, optional
        Grade if it could not be measured. Default 'good'.
    prominent : bool, optional
        Whether it is printed where nothing is wrong. Default False.
    """

    keyword: str
    title: str
    good: tuple = _ANY
    usable: tuple = _ANY
    fault: str = ''
    form: str = '.3g'
    missing: str = 'good'
    prominent: bool = False

    def grade(self, value):
        """'good', 'usable' or 'bad'."""
        if not math.isfinite(value):
            return self.missing
        for grade, (low, high) in (('good', self.good), ('usable', self.usable)):
            if low <= value <= high:
                return grade
        return 'bad'

    def words(self, value, grade):
        """What it is, or, if it is not good, what is wrong and what to do, in a sentence."""
        if not math.isfinite(value):
            return f'{self.title}: could not be measured'
        if grade == 'good' or not self.fault:
            return f'{self.title}: {self.number(value)}'
        limit = self.good[0] if value < self.good[0] else self.good[1]
        return self.fault.format(value=self.number(value), limit=self.number(limit))

    def number(self, value):
        """A value as text."""
        return format(value, self.form) if math.isfinite(value) else 'unknown'

    @property
    def range(self):
        """The good values as text."""
        low, high = self.good
        if self.good == _ANY:
            return 'not judged'
        if self.good == _POSITIVE:
            return 'positive'
        if high == math.inf:
            return f'from {self.number(low)}'
        if self.good == (0, 0):
            return 'none'
        if low in (-math.inf, 0):
            return f'up to {self.number(high)}'
        return f'{self.number(low)} to {self.number(high)}'


def _below(good, usable=math.inf):
    """Limits of a measure that is the better the smaller."""
    return {'good': (0.0, good), 'usable': (0.0, usable)}


#: By name of the measure, in the order in which they are shown.
EXPECTATIONS = {
    'flux_ratio': Expectation(
        'QKSUM', 'flux ratio of the images (kernel sum)', _POSITIVE, _POSITIVE,
        'the kernel sum is {value}: no flux ratio of two images; they do not match', prominent=True),
    'flux_ratio_range': Expectation(
        'QKRANGE', 'change of the flux ratio over the field', **_below(0.02, 1.0), form='.1%',
        fault='the flux ratio changes by {value} over the field, more than {limit}: flat fields, cloud, or regions '
              'whose stars do not suffice; use fewer regions or more stars'),
    'flux_scatter': Expectation(
        'QFLUXSD', 'scatter of the stars\' flux ratios', **_below(0.03, 0.2), form='.1%', prominent=True,
        fault='the flux ratios of the stars scatter by {value}, more than {limit} beyond their noise: the images '
              'differ in filter, linearity or flat field, or stars are saturated; fluxes in the difference are '
              'uncertain by as much'),
    'shift': Expectation(
        'QSHIFT', 'shift between the images (kernel centre), pixels', **_below(0.3, 3.0), form='.2f', prominent=True,
        fault='the kernel is {value} pixels off centre, more than {limit}: the images are not registered that well; '
              'resample the template again (reproject)'),
    'stars_used': Expectation(
        'QNSTAR', 'stars that the kernel was fitted to', (5.0, math.inf), (0.0, math.inf), form='.0f', prominent=True,
        fault='the kernel was fitted to {value} star(s) only, and takes {limit} to be trusted: lower fitthresh, give '
              'stars, or lower ko and the number of basis functions'),
    'stars_refused': Expectation(
        'QREFUSED', 'stars rejected by the fit, of those tried', **_below(0.6), form='.0%',
        fault='{value} of the stars tried were rejected by the fit, more than {limit}: they do not agree with one '
              'another; look at the reasons in the table of substamps'),
    'saturated': Expectation(
        'QSATUR', 'stars used that look saturated', **_below(0.0), form='.0f',
        fault='{value} star(s) with a flat top, as saturated ones have, were used: set tuthresh and iuthresh below '
              'saturation, or mask them'),
    'chi2_fitted': Expectation('QCHIFIT', 'chi2 of the stars used, median'),
    'chi2_fitted_mean': Expectation('QCHIFITM', 'chi2 of the stars used, mean'),
    'chi2_other': Expectation('QCHI', 'chi2 of other stars, median', prominent=True),
    'chi2_other_mean': Expectation('QCHIM', 'chi2 of other stars, mean'),
    'star_residual': Expectation(
        'QRESID', 'what is left of stars, rms over rms', **_below(0.07, 0.3), form='.1%', missing='usable',
        prominent=True,
        fault='{value} of the light of bright stars is left in the difference, more than {limit}: the kernel does not '
              'make one PSF into the other; compare widths and degrees of the kernel, ko, and the stars used'),
    'peak_residual': Expectation(
        'QPEAK', 'largest residual of a star over its peak', **_below(0.07, 0.5), form='.1%', prominent=True,
        fault='bright stars leave up to {value} of their peak, more than {limit}: expect false detections there, and '
              'mask them'),
    'held_out': Expectation(
        'QHELDOUT', 'residual of other stars over that of those used', **_below(3.0), form='.2f',
        fault='stars that were not fitted leave {value} times more than those that were, above {limit}: the kernel '
              'follows the noise of its stars; use fewer basis functions, a lower ko, or more stars'),
    'unmatched': Expectation(
        'QUNMATCH', 'stars left in the difference', **_below(0.4, 0.8), form='.0%', prominent=True,
        fault='{value} of the bright stars do not cancel, more than {limit}: are the images of the same field, and '
              'registered?'),
    'sky_width': Expectation(
        'QPULL', 'scatter of the sky over its noise', (0.8, 1.25), (0.0, 5.0), missing='usable', prominent=True,
        fault='the sky of the difference scatters by {value} times its noise, not 0.8 to 1.25 times: the '
              'uncertainties, or gain and read noise, are wrong (or, below 1, the images share noise), and so are '
              'errors and significances'),
    'sky_correlation': Expectation(
        'QCORR', 'correlation of neighbours in the sky, beyond that expected', (-0.15, 0.15), _ANY,
        fault='neighbouring pixels of the sky correlate by {value} more than the kernel makes them: an image was '
              'resampled, or has structure; errors of fluxes in apertures are underestimated'),
    'background': Expectation(
        'QBACK', 'sky level left, in sigma of a pixel', **_below(0.25, 10.0), form='.2f', prominent=True,
        fault='the sky of the difference varies by {value} sigma of a pixel, more than {limit}: raise bgo, or subtract '
              'the background of both images first; a flux in an aperture is off by as much times its area'),
    'masked': Expectation(
        'QMASKED', 'pixels masked', **_below(0.4, 0.9), form='.0%', prominent=True,
        fault='{value} of the pixels are masked, more than {limit}: compare masks and thresholds (tuthresh, tlthresh, '
              'iuthresh, ilthresh)'),
    'dead': Expectation(
        'QDEAD', 'area in which an image has one value', **_below(0.02, 0.6), form='.0%',
        fault='an image has one and the same value in {value} of the area: mask what is empty'),
    'noise_gain': Expectation(
        'QNGAIN', 'noise gain of the kernel', **_below(1.2, 100.0),
        fault='the kernel multiplies the variance of the sky by {value}, more than {limit}: it sharpens, or follows '
              'noise; convolve the other image, or use fewer basis functions'),
    'sharpening': Expectation(
        'QSHARP', 'concentration of stars, target over convolved image', **_below(1.1),
        fault='the image that was convolved is the broader one, its stars are {value} times less concentrated: '
              'convolve the other image (force_convolve)'),
    'negative': Expectation(
        'QNEGATIV', 'negative part of the kernel', **_below(0.45), form='.0%',
        fault='{value} of the kernel is negative, more than {limit}: it rings; convolve the other image, or use fewer '
              'basis functions'),
    'edge': Expectation(
        'QEDGE', 'kernel at the edge of its box over its peak', **_below(0.05, 0.3), form='.1%',
        fault='the kernel is still at {value} of its peak at the edge of its box, above {limit}: enlarge rkernel, or '
              'lower sigma_gauss'),
    'regions_failed': Expectation(
        'QFAILED', 'regions that could not be subtracted', **_below(0.0), form='.0f',
        fault='{value} region(s) could not be subtracted and are masked: see FAILED.. in the header for the reason'),
}
