"""Numbers that the C program gave (spec 3.6, 4.1, Appendix A to C): units first, then a pair end to end."""

import functools
import hashlib
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from hotpants_cy._core import statistics
from hotpants_cy.cli.main import main
from hotpants_cy.cli.options import config_of, parse
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.pipeline import Hotpants
from hotpants_cy.stamps.search import rank
from hotpants_cy.stamps.statistics import GOOD, OK, SectionStatistics, clipped_moments

# -- Appendix A: the generator ----------------------------------------------------------------

DRAWS = {1: 0.6819510023059542, 2: 0.5682655490710349, 3: 0.06858388310816443, 4: 0.9604624639815164,
         5: 0.5429369859716373, 6: 0.005036850253274834, 7: 0.3297948119140081, 8: 0.3061746041903561,
         9: 0.7364654045230824, 10: 0.5061685385386069, 11: 0.19890525183625174, 12: 0.3169853414975076,
         100: 0.01783633708112875, 200: 0.3639468646794913, 400: 0.026159191947551615}


def test_random_draws_are_those_of_c():
    draws = np.empty(400)
    statistics.random_draws(draws)
    assert {n: draws[n - 1] for n in DRAWS} == DRAWS


# -- Appendix B: statistics -------------------------------------------------------------------

@pytest.mark.parametrize(('n_sigma', 'passes', 'mean', 'sigma'), [
    (3, 10, 9.14285714286, 30.3564899736), (2, 10, 6.5, 3.60555127546), (2, 1, 9.14285714286, 30.3564899736)])
def test_clipped_moments_are_those_of_c(n_sigma, passes, mean, sigma):
    assert clipped_moments([*range(1, 13), 100, -50], n_sigma, passes) == pytest.approx((mean, sigma), rel=1e-11)


def striped_section():
    j, i = np.mgrid[0:50, 0:60]
    values = 100 + (7*i + 13*j) % 31 + 0.25 * ((3*i + 5*j) % 7) + 400 * (i*j % 97 == 5)
    return values.astype('f4'), np.where((i + 2*j) % 53 == 7, 0x40, 0).astype('i4')


GOOD_3 = [337704, 115.7709976, 115.698846154, 126.029, 8.96034696284, 11.3732853224, 11.289031339]


@pytest.mark.parametrize(('selection', 'passes', 'corner', 'shape', 'expected'), [
    (GOOD, 1, (0, 0), (50, 60),
     [337704, 119.30606524, 115.698846154, 126.029, 38.5084078605, 11.3732853224, 11.289031339]),
    (GOOD, 3, (0, 0), (50, 60), GOOD_3),
    (GOOD, 5, (0, 0), (50, 60), GOOD_3),
    (OK, 5, (0, 0), (50, 60), [6408.5, 114.4375, 114.05, 116.65, 8.63426709002, 9.62962962963, 10.3703703704]),
    (GOOD, 3, (12, 9), (20, 30),
     [67275.25, 115.792168675, 115.730833333, 114.309833333, 8.87303566095, 11.2428703704, 11.0379012346])])
def test_section_statistics_are_those_of_c(selection, passes, corner, shape, expected):
    section = SectionStatistics()
    assert section.measure(*striped_section(), corner, shape, 3.0, passes, selection) == 0
    assert_allclose(section.values, expected, rtol=5e-12)      # C printed 12 digits


def test_ranking_orders_equal_scores_as_c_does():
    assert rank([5, 1, 4, 4, 2, 9, 9, 0]) == [7, 1, 4, 3, 2, 0, 6, 5]


@pytest.mark.parametrize(('n', 'u', 'v', 'value'), [
    (0, 0, 0, 3.247241541942e-01), (0, 1, 2, 1.975724759627e-03), (1, 1, 2, 1.216863441852e-02),
    (2, 0, 0, -3.247241541942e-01), (2, 1, 2, 1.419204923801e-02), (7, 2, -1, 1.216863441852e-02),
    (28, 0, 0, -2.539886234039e-01), (29, 1, 2, 6.583859701654e-01), (43, 1, 2, 1.143093634236e-02),
    (48, 2, -1, 4.017875913609e-03)])
def test_basis_functions_are_those_of_c(n, u, v, value):
    images = GaussianBasis(10, (6, 4, 2), (0.7, 1.5, 3.0)).images
    assert images[n, 10 + v, 10 + u] == pytest.approx(value, rel=2e-12)


# -- Appendix C: a pair of images ---------------------------------------------------------------

def noise_like(i, j, k):
    """Twelve hashed numbers in [0, 1) a pixel, summed: nearly a unit Gaussian, the same everywhere."""
    total = 0
    for m in range(12*k, 12*k + 12):
        v = (i.astype('u8') * np.uint64(73856093)) ^ (j.astype('u8') * np.uint64(19349663)) ^ np.uint64(83492791*m)
        v = (v * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
        v ^= v >> np.uint64(15)
        v = (v * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
        v ^= v >> np.uint64(13)
        total = total + v.astype(float) / 2.0**32
    return total - 6.0


def star_list(n, shape):
    state, stars = 12345, []
    for _ in range(n):
        q = []
        for _ in range(3):
            state = (1103515245*state + 12345) % 2**31
            q.append(state / 2**31)
        stars.append((q[0] * shape[1], q[1] * shape[0], 10**(3.2 + 2.2*q[2])))
    return stars


@functools.cache
def make_pair():
    """Template and science image of Appendix C."""
    shape = (240, 260)
    j, i = np.mgrid[0:shape[0], 0:shape[1]]

    def scene(sx, sy, gain):
        image = np.zeros(shape)
        for x, y, flux in star_list(150, shape):
            image += gain*flux / (2*np.pi*sx*sy) * np.exp(-0.5 * (((i - x)/sx)**2 + ((j - y)/sy)**2))
        return image

    template = 200 + scene(1.3, 1.4, 1.0)
    science = 350 + 0.1*i - 0.05*j + scene(1.9, 1.7, 0.8)
    template = template + np.sqrt(template) * noise_like(i, j, 1)
    science = science + np.sqrt(science) * noise_like(i, j, 2)
    template[:, 90] = 0.0
    science[60, 150:180] = -10.0
    science[130:132, 40:42] = 30000.0
    return template.astype('f4'), science.astype('f4')


@pytest.mark.parametrize(('which', 'total', 'pixel', 'sha1'), [
    (0, 20335258.857651, 194.85297, 'd9b39c2a600f96197974f08b05a09953a1aa3529'),
    (1, 28697032.487640, 347.31854, '43b67e33230d40b6c63ea3cd724000ea8eba0a63')])
def test_the_pair_is_the_one_that_c_was_given(which, total, pixel, sha1):
    image = make_pair()[which]
    assert image.sum(dtype=float) == pytest.approx(total, abs=1e-5)
    assert image[120, 100] == np.float32(pixel)
    assert hashlib.sha1(image.astype('<f4').tobytes()).hexdigest() == sha1


def records_of(records, name, n_arguments):
    """What a module logged, as tuples of numbers."""
    return [r.args for r in records if r.name == f'hotpants_cy.{name}' and len(r.args) == n_arguments]


@functools.cache
def subtract(options, n_threads=1):
    """Run a command line of C HOTPANTS on the pair, with all of its layers."""
    config = config_of(parse(['-inim', 's', '-tmplim', 't', '-outim', 'd', *options.split()]))
    records, log = [], logging.getLogger('hotpants_cy')
    handler, level = logging.Handler(), log.level
    handler.emit = records.append
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        # a convolved image was asked for: the detour of P18
        hot = Hotpants(*make_pair(), config=config.replace(convolved_image_file='c.fits'), n_threads=n_threads)
        difference, convolved, noise, flags = hot.convolve_and_difference()
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    return SimpleNamespace(
        hot=hot, regions=hot.regions, difference=difference, convolved=convolved, noise=noise, flags=flags,
        iterations=[(f'{mean:.3f}', f'{scatter:.3f}', n) for _, mean, scatter, n, _ in
                    records_of(records, 'kernel.fit', 5)],
        walks=[(name, n) for n, _, name in records_of(records, 'stamps.grid', 3)])


SMALL = '-r 6 -rss 9 -nsx 4 -nsy 4'
OPTIONS = {
    'A': f'{SMALL} -ko 1 -bgo 1 -ft 10',
    'B': '-r 4 -rss 6 -nsx 6 -nsy 6 -ko 1 -bgo 1 -ft 5 -ks 1.5 -fi -99 -fin 1e6 -mous -1',
    'C': f'{SMALL} -ko 1 -bgo 0 -ft 10 -c i -n i -okn -kcs 4 -ssig 2.5',
    'D': '-r 5 -rss 7 -nsx 3 -nsy 3 -ko 0 -bgo 2 -ft 10 -nrx 2 -ng 2 4 1.1 2 2.5',
    'E': f'{SMALL} -ko 1 -bgo 1 -ft 300 -nft 0.9 -c t -n u',
    'F': f'{SMALL} -ko 2 -bgo 1 -ft 40 -nft 0.95 -sft 0.25 -ks 1.3',
}
OPTIONS['C convvar'] = f'{OPTIONS["C"]} -convvar'
OPTIONS['E no retry'] = OPTIONS['E'].replace('-nft 0.9', '-nft 0.6')

HEADERS = {
    'A': dict(KSUM='0.7997', SSSIG='0.6548', SSSCAT='0.0690', FSIG='1.0095', FSCAT='0.1080', X2NRM='1.0224',
              NX2NRM='53546', DMEAN='0.3175', DSIGE='25.1173', DSIG='24.1840', DMEANO='-0.1374', DSIGEO='24.7886',
              DSIGO='24.1311', NSCALO='1.0386'),
    'B': dict(KSUM='0.7998', FSIG='0.9778', X2NRM='1.0237', NX2NRM='56342', DMEAN='-0.5785', DSIGE='25.0645',
              DSIG='24.2165', DMEANO='0.0000', DSIGEO='10000000000.0000', DSIGO='0.0000'),
    'C': dict(KSUM='1.2289', FSIG='1.5946', X2NRM='1.2187', NX2NRM='55574', DMEAN='3.7109', DSIGE='49.7796',
              DSIG='49.0131', DMEANO='29.9553', DSIGEO='105.9207', DSIGO='47.7469', NSCALO='2.1842'),
    'C convvar': dict(NSCALO='2.1010'),
    'E': dict(KSUM='0.8002', SSSIG='0.6580', SSSCAT='0.0640', FSIG='1.0128', FSCAT='0.0990', X2NRM='1.0236',
              NX2NRM='53546', DMEAN='0.6712', DSIGE='20.1194', DSIG='19.3511'),
    'E no retry': dict(KSUM='0.8005', NX2NRM='53545'),
    'F': dict(KSUM='0.7999', FSIG='0.9573', FSCAT='0.0953', X2NRM='1.0459', DSIGE='25.6481', DSIG='24.6363'),
}


@pytest.mark.parametrize('name', HEADERS)
def test_header_numbers_are_those_of_c(name):
    values = subtract(OPTIONS[name]).regions[0].statistics
    assert {k: f'{values[k]:d}' if k == 'NX2NRM' else f'{values[k]:.4f}' for k in HEADERS[name]} == HEADERS[name]


PIXELS = {  # plane, x, y, value
    'A': [('difference', 30, 30, 24.171854), ('difference', 41, 84, -21.68793), ('difference', 45, 157, -12.968551),
          ('difference', 200, 200, -43.551407), ('convolved', 30, 30, 4499.233), ('convolved', 92, 120, 421.72812),
          ('noise', 30, 30, 78.58132), ('noise', 200, 200, 27.571205), ('noise', 3, 3, 18.356312),
          ('noise', 92, 120, 0.0), ('difference', 3, 3, 1e-30), ('difference', 92, 120, 1e-30)],
    'B': [('difference', 30, 30, -28.063868), ('difference', 200, 200, -37.184685), ('noise', 30, 30, 78.427925)],
    'C': [('difference', 30, 30, -234.54523), ('difference', 200, 200, -4.917256), ('noise', 30, 30, 134.60965)],
    'C convvar': [('difference', 30, 30, -234.54523), ('noise', 30, 30, 96.13711)],
    'D': [('difference', 30, 30, 9.259617), ('difference', 200, 200, -32.985783), ('noise', 200, 200, 27.197605)],
    'E': [('difference', 30, 30, 20.365723), ('difference', 41, 84, -16.031982), ('difference', 200, 200, -34.144623),
          ('noise', 30, 30, 62.945587)],
    'E no retry': [('difference', 30, 30, 20.059814)],
    'F': [('difference', 30, 30, 25.628286), ('difference', 41, 84, -11.260063), ('difference', 200, 200, -33.448322),
          ('noise', 30, 30, 79.342766)],
}


@pytest.mark.parametrize('name', PIXELS)
def test_pixels_are_those_of_c(name):
    run = subtract(OPTIONS[name])
    for plane, x, y, value in PIXELS[name]:
        # what the order of sums may change: roundings of the convolved image, or far less than the noise (spec 11)
        tolerance = max(2 * np.spacing(run.convolved[y, x]), 3e-5 * run.noise[y, x]) if abs(value) > 1e-20 else 0
        assert getattr(run, plane)[y, x] == pytest.approx(np.float32(value), rel=0, abs=tolerance), (plane, x, y)


HISTOGRAMS = {
    'A': {0x0: 53546, 0x40: 1270, 0x8000: 5856, 0x8010: 1466, 0x8082: 4, 0x8084: 30, 0x8094: 228},
    'B': {0x0: 56342, 0x8000: 3936, 0x8010: 1856, 0x8082: 4, 0x8084: 30, 0x8094: 232},
    'C': {0x0: 55574, 0x40: 301, 0x8000: 5844, 0x8010: 407, 0x8084: 240, 0x8092: 4, 0x8094: 30},
    'D': {0x0: 54936, 0x40: 920, 0x8000: 4900, 0x8010: 1380, 0x8082: 4, 0x8084: 30, 0x8094: 230},
    'F': {0x0: 53546, 0x40: 1198, 0x8000: 5856, 0x8010: 1538, 0x8082: 4, 0x8084: 30, 0x8094: 228},
}


@pytest.mark.parametrize('name', HISTOGRAMS)
def test_every_mask_value_is_as_frequent_as_in_c(name):
    bits, counts = np.unique(subtract(OPTIONS[name]).flags, return_counts=True)
    assert dict(zip(bits.tolist(), counts.tolist(), strict=True)) == HISTOGRAMS[name]


SOLUTIONS = {
    'A': [0.79967345, -2.04578615, 5.62397903, -1.687063, 3.57477422, -0.89343384, 6.40966719],
    'B': [0.7997766, 2.5525297, 4.54759],
    'E': [0.80018521, -1.8840188, 6.1046616],
    'F': [0.79993553, 4.5998009, 4.0174082],
}


@pytest.mark.parametrize('name', SOLUTIONS)
def test_the_solution_is_that_of_c(name):
    solution = subtract(OPTIONS[name]).regions[0].fit.model.solution
    assert_allclose(solution[:len(SOLUTIONS[name])], SOLUTIONS[name], rtol=2e-8)


ITERATIONS = {
    'A': [('0.655', '0.069', 15)],
    'B': [('0.653', '0.060', 28), ('0.649', '0.057', 28), ('0.647', '0.053', 28), ('0.642', '0.052', 27),
          ('0.638', '0.050', 27), ('0.637', '0.047', 27)],
    'C': [('10.441', '3.359', 14)],
    'F': [('0.642', '0.068', 14), ('0.631', '0.058', 14)],
}


@pytest.mark.parametrize('name', ITERATIONS)
def test_the_fit_rejects_as_c_does(name):
    assert subtract(OPTIONS[name]).iterations == ITERATIONS[name]


@pytest.mark.parametrize(('name', 'walks'), [
    ('A', [('template', 15), ('science', 14)]),
    ('B', [('template', 29), ('science', 31)]),
    ('C', [('science', 14)]),
    ('E', [('template', 12), ('template', 13)]),
    ('E no retry', [('template', 12)]),
    ('F', [('template', 14), ('science', 13), ('template', 15), ('science', 14)])])
def test_each_walk_over_the_stamps_finds_as_many_as_c(name, walks):
    assert subtract(OPTIONS[name]).walks == walks


@pytest.mark.parametrize(('name', 'direction'), [('A', 't'), ('B', 't'), ('C', 'i'), ('E', 't'), ('F', 't')])
def test_the_direction_is_that_of_c(name, direction):
    assert subtract(OPTIONS[name]).regions[0].direction == direction


# -- run A more closely ---------------------------------------------------------------------------

def stars_by_cell(side):
    return {(stamp.substamps[0].x // 65, stamp.substamps[0].y // 60):
            [(s.x, s.y, round(s.score, 1)) for s in stamp.substamps] for stamp in side.stamps}


def test_stars_and_their_scores_are_those_of_c():
    sides = subtract(OPTIONS['A']).regions[0].sides
    template, science = stars_by_cell(sides['t']), stars_by_cell(sides['i'])
    assert template[0, 0][0] == (30, 31, 226637.2)
    assert template[2, 0] == [(165, 34, 485548.8), (136, 46, 11915.8)]
    assert template[2, 1] == [(170, 73, 53802.5), (153, 106, 34682.1), (139, 73, 6163.1)]
    assert science[2, 1] == [(170, 70, 52852.3), (153, 106, 37259.4), (138, 73, 575.6)]
    assert template[0, 3] == [(37, 184, 352.6)]
    assert (0, 3) not in science
    assert (3, 0) not in template
    assert (3, 0) not in science


def test_the_sky_of_the_first_cell_is_that_of_c():
    sides = subtract(OPTIONS['A']).regions[0].sides
    skies = [[round(v, 1) for v in (s.mode, s.fwhm)] for s in (sides[d].slots[0].statistics for d in 'ti')]
    assert skies == [[204.6, 17.4], [350.9, 27.4]]


@pytest.mark.parametrize(('direction', 'mean', 'scatter', 'merit', 'n', 'dropped'), [
    ('t', '0.793', '0.023', '0.812', 15, {11}), ('i', '1.201', '0.051', '8.817', 14, {5, 12})])
def test_the_direction_test_is_that_of_c(direction, mean, scatter, merit, n, dropped):
    region = subtract(OPTIONS['A']).regions[0]
    sums = [stamp.substamps[0].kernel_sum for stamp in region.sides[direction].stamps]
    clipped = clipped_moments(sums, 3.0)
    assert (f'{clipped[0]:.3f}', f'{clipped[1]:.3f}', len(sums)) == (mean, scatter, n)
    assert f'{region.merits[direction]:.3f}' == merit
    assert {k for k, total in enumerate(sums) if not abs(total - clipped[0]) / clipped[1] < 2} == dropped


def test_the_kernel_sum_of_the_stamp_dropped_is_that_of_c():
    sums = [stamp.substamps[0].kernel_sum for stamp in subtract(OPTIONS['A']).regions[0].sides['t'].stamps]
    mean, scatter = clipped_moments(sums, 3.0)
    assert f'{sums[11]:.6f}' == '0.732903'
    assert f'{abs(sums[11] - mean) / scatter:.6f}' == '2.600937'


def test_sums_over_the_planes_are_those_of_c():
    run = subtract(OPTIONS['A'])
    assert run.difference.sum(dtype=float) == pytest.approx(1.369157e+04, rel=1e-6)
    assert run.noise.sum(dtype=float) == pytest.approx(1.549819e+06, rel=1e-6)


@pytest.mark.parametrize(('x', 'y', 'bits'), [(92, 120, 0x8010), (41, 131, 0x8082)])
def test_mask_pixels_are_those_of_c(x, y, bits):
    assert subtract(OPTIONS['A']).flags[y, x] == bits


@pytest.mark.parametrize('n_threads', [2, 4])
def test_threads_change_no_bit(n_threads):
    one, many = subtract(OPTIONS['A']), subtract(OPTIONS['A'], n_threads)
    for name in ('difference', 'convolved', 'noise', 'flags'):
        assert getattr(one, name).tobytes() == getattr(many, name).tobytes()
    assert one.regions[0].fit.model.solution.tobytes() == many.regions[0].fit.model.solution.tobytes()


# -- the other runs, where they differ in kind ----------------------------------------------------

def test_plain_convolution_of_the_variance_leaves_the_difference_alone():
    run, plain = subtract(OPTIONS['C']), subtract(OPTIONS['C convvar'])
    assert_array_equal(run.difference, plain.difference)


def test_negative_variance_is_flagged_as_in_c():
    run = subtract(OPTIONS['C convvar'])
    undefined = np.isnan(run.noise)
    assert undefined.sum() == 55
    assert set(run.flags[undefined].tolist()) == {0xc8}


def test_two_regions_are_those_of_c():
    first, second = subtract(OPTIONS['D']).regions
    assert (first.region.section, second.region.section) == ('[1:130,1:240]', '[130:260,1:240]')
    assert first.direction == second.direction == 't'
    numbers = [{k: f'{run.statistics[k]:.4f}' for k in ('KSUM', 'DSIGE', 'FSIG')} | {'N': run.statistics['NX2NRM']}
               for run in (first, second)]
    assert numbers == [dict(KSUM='0.7986', DSIGE='25.3000', FSIG='1.0280', N=28516),
                       dict(KSUM='0.8008', DSIGE='25.3875', FSIG='0.9508', N=31250)]


def test_the_command_line_writes_run_a_as_c_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, image in zip(('T.fits', 'I.fits'), make_pair(), strict=True):
        fits.writeto(path, image)
    assert main(f'-inim I.fits -tmplim T.fits -outim D.fits -omi M.fits -allm -hki -v 0 {OPTIONS["A"]}'.split()) == 0
    header = fits.getheader('D.fits') + fits.getheader('D.fits', 3)          # NSCALO stands with the noise
    assert {name: header[f'{name}00'] for name in HEADERS['A']} == HEADERS['A']
    run = subtract(OPTIONS['A'])
    assert_array_equal(fits.getdata('D.fits'), run.difference)
    assert_array_equal(fits.getdata('D.fits', 1), run.convolved)
    assert_array_equal(fits.getdata('D.fits', 3), run.noise)
    assert_array_equal(fits.getdata('M.fits'), run.flags)
    assert fits.getdata('D.fits', 2)[30, 30] == pytest.approx(0.30760306, rel=1e-5)
    # C keeps an unused first row (spec 6.1)
    assert_array_equal(fits.getdata('D.fits', 4)['Region0'][1:len(run.regions[0].fit.model.solution) + 1],
                       run.regions[0].fit.model.solution)
