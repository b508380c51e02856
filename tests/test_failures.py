"""With automatic parameters too, each failure ends in a clear error or in a verdict that is not good."""
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

SHAPE = (300, 300)
SCENE = {'seed': 11, 'n_stars': 90, 'n_transients': 0}
PAIR = make_pair(SHAPE, **SCENE)
OTHER = make_pair(SHAPE, **SCENE | {'seed': 77})
RNG = np.random.default_rng(0)
Y, X = np.indices(SHAPE)

pytestmark = pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.HotpantsWarning')


def edited(image, data=lambda d: d, sigma=lambda s: s):
    return CCDData(np.asarray(data(image.data.astype(float))), unit='adu', meta=dict(image.meta),
                   uncertainty=StdDevUncertainty(np.asarray(sigma(image.uncertainty.array.astype(float)))))


def science(data=lambda d: d, sigma=lambda s: s):
    return edited(PAIR.science, data, sigma), PAIR.template


def both(data=lambda d: d, sigma=lambda s: s):
    return edited(PAIR.science, data, sigma), edited(PAIR.template, data, sigma)


def bare(a, b):
    return CCDData(a, unit='adu'), CCDData(b, unit='adu')


def simulated(**changes):
    pair = make_pair(SHAPE, **SCENE | changes)
    return pair.science, pair.template


def cut(*where):
    return bare(PAIR.science.data[where], PAIR.template.data[where])


FAILURES = {
    'all NaN': lambda: science(lambda d: d * np.nan),
    'all infinite': lambda: science(lambda d: d * np.inf),
    'all zero': lambda: science(lambda d: d * 0),
    'constant': lambda: science(lambda d: d * 0 + 5),
    'another field': lambda: (OTHER.science, PAIR.template),
    'shifted by 5': lambda: science(lambda d: np.roll(d, 5, 1)),
    'shifted by 20': lambda: science(lambda d: np.roll(d, 20, 0)),
    'rotated': lambda: science(lambda d: np.rot90(d)),
    'mirrored': lambda: science(lambda d: d[:, ::-1]),
    'negative': lambda: science(lambda d: -d),
    'squared': lambda: science(lambda d: (d / 100)**2),
    'logarithm': lambda: science(lambda d: np.log(np.maximum(d, 1))),
    'flux ratio from 0.3 to 3': lambda: science(lambda d: d * (0.3 + X / 110)),
    'waves': lambda: science(lambda d: d + 200 * np.sin(X / 8)),
    'cosmic rays everywhere': lambda: science(lambda d: np.where(RNG.random(SHAPE) < 0.05, 3e4, d)),
    'every other pixel NaN': lambda: science(lambda d: np.where((X + Y) % 2, d, np.nan)),
    'half NaN': lambda: science(lambda d: np.where(X < 150, np.nan, d)),
    'no overlap': lambda: (edited(PAIR.science, lambda d: np.where(X < 160, np.nan, d)),
                           edited(PAIR.template, lambda d: np.where(X > 140, np.nan, d))),
    'columns doubled': lambda: science(lambda d: np.repeat(d[:, ::2], 2, 1)),
    'binned': lambda: (edited(PAIR.science[:200, :200], lambda d: np.kron(d[::2, ::2], np.ones((2, 2)))),
                       PAIR.template[:200, :200]),
    'cut off at the sky': lambda: both(lambda d: np.minimum(d, np.median(d) + 30)),
    'no uncertainty': lambda: both(sigma=lambda s: s * 0),
    'negative uncertainty': lambda: science(sigma=lambda s: -s),
    'NaN uncertainty': lambda: science(sigma=lambda s: s * np.nan),
    'uncertainty times 10': lambda: both(sigma=lambda s: s * 10),
    'uncertainty over 10': lambda: both(sigma=lambda s: s / 10),
    'tiny values': lambda: both(lambda d: d * 1e-30),
    'noise alone': lambda: bare(*RNG.normal(100, 5, (2, *SHAPE))),
    'noise and stars': lambda: (CCDData(RNG.normal(400, 20, SHAPE), unit='adu'), PAIR.template),
    'one star': lambda: simulated(n_stars=1, star_flux=(1e5, 1e5)),
    'no star': lambda: simulated(n_stars=1, star_flux=(1, 1)),
    'undersampled': lambda: simulated(science_fwhm=0.7),
    'very wide template': lambda: simulated(template_fwhm=14.0),
    '1 x 1': lambda: bare(np.ones((1, 1)), np.ones((1, 1))),
    '20 x 20': lambda: cut(np.s_[:20], np.s_[:20]),
    '40 x 40': lambda: cut(np.s_[:40], np.s_[:40]),
    '60 x 60': lambda: cut(np.s_[:60], np.s_[:60]),
    'a strip': lambda: cut(np.s_[:30]),
    'eight bits': lambda: bare(*((image.data / 50).astype(np.int8) for image in (PAIR.science, PAIR.template))),
    'identical': lambda: (PAIR.science, PAIR.science),
    'other shapes': lambda: (cut(np.s_[:200])[0], PAIR.template),
    'other units': lambda: (CCDData(PAIR.science.data, unit='s'), PAIR.template),
    'all masked': lambda: (CCDData(PAIR.science.data, unit='adu', mask=np.ones(SHAPE, bool)), PAIR.template),
    'no file': lambda: ('nothing.fits', PAIR.template),
    'complex numbers': lambda: (PAIR.science.data + 1j, PAIR.template.data),
}


@pytest.mark.parametrize('name', FAILURES)
def test_no_failure_passes_for_a_good_subtraction(name):
    images = FAILURES[name]()
    try:
        result = hp.subtract(*images, config='auto', n_threads=1)
    except hp.HotpantsError as error:
        message = str(error)
    else:
        message, quality = '', result.quality
    if message:
        assert len(message) > 20
        assert '\n' not in message
        return
    assert quality.verdict != 'good', str(result)
    assert quality.reasons


def test_the_pair_itself_is_good():
    assert hp.subtract(PAIR.science, PAIR.template, config='auto').quality.verdict == 'good'


@pytest.mark.parametrize(('argument', 'words'), [
    ({'stars': 'nothing.reg'}, 'there is no file'), ({'stars': 5}, 'stars must be'),
    ({'avoid': 'x.reg'}, 'avoid: there is'), ({'avoid': 'auto'}, "avoid: there is no file 'auto'; avoid must be"),
    ({'avoid': [[1, 1]], 'avoid_radius': -3}, 'avoid_radius=-3 is impossible'), ({'stars': {'x': [1]}}, 'columns x'),
    ({'psf': 'moffat'}, 'psf: '), ({'psf': np.ones((4, 4))}, 'a PSF must be'),
    ({'noise_correlations': np.ones((3, 3))}, 'noise_correlations must be two'),
    ({'noise_correlations': 1}, 'noise_correlations must be two'),
    ({'noise_correlations': (None, np.ones((2, 2)))}, r'noise_correlations\[1\], of the template, must be'),
    ({'noise_correlations': ([[2, 1, 2]], None)}, 'nowhere above 1'),
    ({'noise_correlations': ('flat', None)}, r'noise_correlations\[0\].*cannot use'),
], ids=str)
def test_a_wrong_argument_is_named(argument, words):
    with pytest.raises(hp.InputError, match=words):
        hp.subtract(PAIR.science, PAIR.template, config='auto', **argument)
