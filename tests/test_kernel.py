"""The kernel: basis, spatial variation, model, choice of direction, and the fit that rejects what stands out."""

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hotpants_cy.config import HotpantsConfig
from hotpants_cy.exceptions import InputError, TooFewStampsError
from hotpants_cy.kernel.basis import GaussianBasis, ImageBasis, basis_of
from hotpants_cy.kernel.direction import NO_MERIT, choose
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import Monomials, RegionFrame
from hotpants_cy.pipeline import Hotpants
from hotpants_cy.stamps.statistics import clipped_moments
from hotpants_cy.stamps.substamp import SubstampStatus

# -- basis --------------------------------------------------------------------------------------

BASIS = GaussianBasis(5, (3, 2), (0.8, 2.1))


def test_terms_count_gaussians_then_x_then_y():
    assert BASIS.terms == [(0, p, q) for p in range(4) for q in range(4 - p)] + \
        [(1, p, q) for p in range(3) for q in range(3 - p)]
    assert len(BASIS) == 16


@pytest.mark.parametrize('n', range(16))
def test_basis_functions_are_gaussians_times_powers(n):
    v, u = np.mgrid[-5:6, -5:6].astype(float)

    def function(g, p, q):
        steepness = float(np.float32(1 / (2 * BASIS.sigmas[g]**2)))
        k = np.exp(-(u*u + v*v) * steepness) * u**p * v**q
        return k / k.sum() if p % 2 == q % 2 == 0 else k

    expected = function(*BASIS.terms[n])
    if n and not any(power % 2 for power in BASIS.terms[n][1:]):
        expected = expected - function(0, 0, 0)
    assert_allclose(BASIS.images[n], expected, rtol=0, atol=1e-13)


def test_only_the_first_function_carries_flux():
    sums = BASIS.images.sum(axis=(1, 2))
    assert_allclose(sums, [1] + [0] * 15, rtol=0, atol=1e-12)


def test_widths_are_held_in_single_precision():
    assert GaussianBasis(5, (0,), (1.1,)).steepness == [float(np.float32(1 / (2 * 1.1 * 1.1)))]


def test_sliding_filters_are_the_reversed_factors_each_y_filter_once():
    y_filters, index, x_filters = BASIS.sliding_filters
    x_factors, y_factors = BASIS.factors
    assert_array_equal(x_filters[:, ::-1], x_factors)
    assert_array_equal(y_filters[index][:, ::-1], y_factors)
    assert len(np.unique(y_filters, axis=0)) == len(y_filters)


def test_image_bases_have_their_first_image_subtracted():
    pictures = np.random.default_rng(0).normal(0, 1, (3, 5, 5)).astype('f4')
    basis = ImageBasis(pictures)
    assert (len(basis), basis.width, basis.half_width) == (3, 5, 2)
    assert_array_equal(basis.images, [pictures[0], *(p.astype(float) - pictures[0] for p in pictures[1:])])


def test_the_configuration_chooses_the_basis():
    assert basis_of(HotpantsConfig(rkernel=5, deg_fixe=(3, 2), sigma_gauss=(0.8, 2.1))) == BASIS


# -- spatial variation ----------------------------------------------------------------------------

@pytest.mark.parametrize('order', range(5))
def test_monomials_have_x_as_the_outer_power(order):
    x, y = np.random.default_rng(order).uniform(-1, 1, (2, 4, 3))
    exponents = [(p, q) for p in range(order + 1) for q in range(order + 1) if p + q <= order]
    expected = np.stack([x**p * y**q for p, q in exponents], axis=-1)
    monomials = Monomials(order)
    assert len(monomials) == len(exponents)
    assert_allclose(monomials.values(x, y), expected, rtol=1e-14)
    x_factors, y_factors = monomials.factors(x, y)
    assert_array_equal(x_factors * y_factors, monomials.values(x, y))
    c = np.arange(1.0, len(exponents) + 1)
    assert_allclose(monomials.evaluate(c, x, y), expected @ c, rtol=0, atol=1e-13)


def test_powers_are_multiplied_up():
    x = 0.1 + np.arange(50) / 77
    assert_array_equal(Monomials(4).values(x, 1.0)[:, -1], 1.0 * x * x * x * x)


def test_positions_run_from_minus_one_to_one():
    frame = RegionFrame((100, 20), (40, 60))
    assert frame.normalise(100, 20) == (-1, -1)
    assert frame.normalise(130, 40) == (0, 0)
    assert frame.normalise(160, 60) == (1, 1)


def test_the_fit_has_positions_in_single_precision():
    frame = RegionFrame((7, 0), (241, 259))
    x, y = frame.normalise_single(np.array([20, 100]), np.array([3, 9]))
    assert x.dtype == y.dtype == np.float32
    half = np.float32(129.5)
    assert_array_equal(x, (np.array([13, 93], 'f4') - half) / half)
    assert (x.astype(float) != frame.normalise(np.array([20, 100]), 0)[0]).any()


# -- the model ------------------------------------------------------------------------------------

SHAPE, ORIGIN = (43, 52), (300, 200)


def model_of(ko=2, bgo=1, block_width=11, seed=0, origin=ORIGIN):
    rng = np.random.default_rng(seed)
    n_terms, n_background = len(Monomials(ko)), len(Monomials(bgo))
    solution = np.concatenate([[0.8], rng.normal(0, 0.1, 15*n_terms), rng.normal(5, 3, n_background)])
    return KernelModel(solution, BASIS, ko, bgo, RegionFrame(origin, SHAPE), 't', block_width)


def polynomial(coefficients, order, x, y):
    """At positions in the region."""
    x, y = x / (0.5*SHAPE[1]) - 1, y / (0.5*SHAPE[0]) - 1
    exponents = [(p, q) for p in range(order + 1) for q in range(order + 1 - p)]
    return sum(c * x**p * y**q for c, (p, q) in zip(coefficients, exponents, strict=True))


def kernel_at(model, x, y):
    n_terms = len(Monomials(model.ko))
    varying = model.solution[1:1 + 15*n_terms].reshape(15, n_terms)
    weights = [model.solution[0], *(polynomial(c, model.ko, x, y) for c in varying)]
    return np.tensordot(weights, BASIS.images, axes=1)


@pytest.mark.parametrize('ko', [0, 1, 3])
@pytest.mark.parametrize(('x', 'y'), [(0, 0), (51, 42), (17.25, 30.5), (-5, 60)])
def test_image_and_sum_are_those_of_the_solution(ko, x, y):
    model = model_of(ko)
    expected = kernel_at(model, x, y)
    assert_allclose(model.image(ORIGIN[0] + x, ORIGIN[1] + y), expected, rtol=0, atol=1e-13)
    assert model.sum(ORIGIN[0] + x, ORIGIN[1] + y) == pytest.approx(expected.sum(), abs=1e-11)
    assert model.sum(ORIGIN[0] + x, ORIGIN[1] + y) == pytest.approx(0.8, abs=1e-11)


@pytest.mark.parametrize('bgo', [0, 1, 3])
def test_background_is_that_of_the_solution(bgo):
    model = model_of(bgo=bgo)
    y, x = np.mgrid[0:43, 0:52].astype(float)
    expected = polynomial(model.background_coefficients, bgo, x, y)
    assert_allclose(np.broadcast_to(model.background(x + 300, y + 200), SHAPE), np.broadcast_to(expected, SHAPE),
                    rtol=1e-12)
    value = model.background(317, 211)
    assert type(value) is float
    assert value == pytest.approx(polynomial(model.background_coefficients, bgo, 17.0, 11.0))


def test_one_position_is_asked_for_at_a_time():
    with pytest.raises(InputError, match=r'one position .* is needed'):
        model_of().image(np.arange(3), 5)


@pytest.mark.parametrize('position', [(np.nan, 5), (5, np.inf), (1e5, 5)])
def test_a_kernel_is_known_near_the_image_only(position):
    for ask in (model_of().image, model_of().sum):
        with pytest.raises(InputError, match='the kernel is not known at'):
            ask(*position)


@pytest.mark.parametrize('block_width', [11, 1, 4, 25, 60])
@pytest.mark.parametrize('origin', [(0, 0), ORIGIN])
def test_an_image_is_convolved_with_the_kernel_of_each_block(block_width, origin):
    model, r = model_of(block_width=block_width, origin=origin), 5
    image = np.random.default_rng(1).normal(100, 20, SHAPE)
    expected = np.full(SHAPE, np.nan)
    for y in range(r, SHAPE[0] - r):
        for x in range(r, SHAPE[1] - r):
            # the kernel of a block is that at its first pixel, counted without the frame, plus its width (P16)
            at = ((p - r) // block_width * block_width + 2*r for p in (x, y))
            expected[y, x] = (image[y - r:y + r + 1, x - r:x + r + 1] * kernel_at(model, *at)[::-1, ::-1]).sum()
    out = model.apply(image, n_threads=2)
    assert out.dtype == np.float32
    assert_allclose(out, expected, rtol=0, atol=1e-4)            # of sums of 12 000 without their signs
    with_background = model.apply(image, background=True)
    y, x = np.mgrid[0:SHAPE[0], 0:SHAPE[1]].astype(float)
    assert_allclose(with_background, expected + polynomial(model.background_coefficients, 1, x, y), rtol=0, atol=1e-4)


def test_a_point_source_becomes_the_image_of_the_kernel():
    model = model_of(ko=0)
    image = np.zeros(SHAPE)
    image[20, 30] = 1
    assert_allclose(model.apply(image)[15:26, 25:36], model.image(0, 0), rtol=0, atol=1e-7)


def test_an_image_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r'shape \(43, 52\).* shape \(44, 52\)'):
        model_of().apply(np.zeros((44, 52)))


@pytest.mark.parametrize('dtype', ['>f4', 'i2', 'f8'])
def test_any_kind_of_numbers_may_be_convolved(dtype):
    image = np.random.default_rng(2).integers(0, 1000, SHAPE)
    assert_array_equal(model_of().apply(image.astype(dtype)), model_of().apply(image.astype('f4')))


# -- direction --------------------------------------------------------------------------------------

@pytest.mark.parametrize(('merits', 'direction'), [
    ({'t': 0.8, 'i': 0.9}, 't'), ({'t': 0.9, 'i': 0.8}, 'i'), ({'t': 1.0, 'i': 1.0}, 'i'),
    ({'t': np.nan, 'i': 0.8}, 'i'), ({'t': 0.8, 'i': np.nan}, 'i'), ({'t': NO_MERIT, 'i': NO_MERIT}, 'i'),
    ({'t': -1.0, 'i': 0.5}, 't'), ({'t': np.nan}, 't'), ({'i': 0.0}, 'i')], ids=str)
def test_the_smaller_merit_wins_and_ties_go_to_the_science_image(merits, direction):
    assert choose(merits) == direction


GRID = 5                                                       # stamps per axis, of 36 pixels
SETTINGS = dict(rkernel=4, rss=5, nstampx=GRID, nstampy=GRID, ko=1, bgo=1, deg_fixe=(2, 1), sigma_gauss=(0.9, 1.8))


def star(x, y, flux, sigma):
    j, i = np.mgrid[0:180, 0:180]
    return flux / (2*np.pi*sigma**2) * np.exp(-((i - x)**2 + (j - y)**2) / (2*sigma**2))


@functools.cache
def scene(sigma, flux_scale, sky, seed, variable=()):
    """One bright and one fainter star in each inner cell; ``variable`` are (star, factor on its flux)."""
    rng, factors = np.random.default_rng(99), dict(variable)
    image = np.full((180, 180), sky)
    for k in range(2 * GRID * GRID):
        cell, faint = divmod(k, 2)
        x, y = 36 * (cell % GRID) + 8 + 11*faint + rng.uniform(0, 1), 36 * (cell // GRID) + 13 + rng.uniform(0, 1)
        flux = (30_000 if faint else 60_000) * rng.uniform(0.9, 1.1)
        image += star(x, y, flux_scale * flux * factors.get(k, 1), sigma)
    return (image + np.random.default_rng(seed).normal(0, 1, image.shape) * np.sqrt(image)).astype('f4')


def pair(template_sigma=1.3, science_sigma=1.9, variable=(), **values):
    template = scene(template_sigma, 1.0, 300.0, 1)
    science = scene(science_sigma, 0.7, 400.0, 2, variable)
    return Hotpants(template, science, config=HotpantsConfig(**SETTINGS | values), n_threads=1)


@pytest.mark.parametrize(('template', 'science', 'direction'), [(1.3, 1.9, 't'), (1.9, 1.3, 'i')])
def test_the_sharper_image_is_convolved(template, science, direction):
    assert pair(template, science).fit_and_select_direction() == direction


@pytest.mark.parametrize('forced', ['t', 'i'])
def test_a_direction_may_be_forced(forced):
    hot = pair(force_convolve=forced)
    assert hot.fit_and_select_direction() == forced
    assert hot.region.merits == {forced: 0.0}


def test_the_kernel_sum_of_each_star_is_its_flux_ratio():
    hot = pair()
    hot.fit_and_select_direction()
    sums = [s.kernel_sum for s in hot.template_substamps if s.kernel_sum is not None]
    assert len(sums) == hot.region.sides['t'].n_filled > 8
    assert_allclose(sums, 0.7, atol=0.1)
    assert np.mean(sums) == pytest.approx(0.7, abs=0.02)


BRIGHT_IN_THE_MIDDLE = 2 * 12                                   # first star of the cell at 72, 72


def cell_of(substamp):
    return substamp.x // 36 + GRID * (substamp.y // 36)


def rank_of(hot, substamp):
    """0 for the first star of its stamp."""
    ids = [s.id for s in hot.template_substamps if s.stamp_group_id == substamp.stamp_group_id]
    return ids.index(substamp.id)


def test_a_variable_star_fails_the_direction_test_but_takes_part_in_the_fit():
    hot = pair(variable=((BRIGHT_IN_THE_MIDDLE, 0.6),), ks=3.0)
    hot.fit_and_select_direction()
    first = [s for s in hot.template_substamps if rank_of(hot, s) == 0]
    failed = [s for s in first if s.status is SubstampStatus.REJECTED_FOM_CHECK]
    assert [cell_of(s) for s in failed] == [12]
    assert failed[0].kernel_sum == pytest.approx(0.6 * 0.7, abs=0.03)
    assert all(s.status is SubstampStatus.PASSED_FOM_CHECK for s in first if s is not failed[0])
    assert len(hot.region.design('t').stamps) == len(first)


def test_too_few_stars_give_no_merit_and_then_a_clear_error():
    hot = pair(ko=6, deg_fixe=(0,), sigma_gauss=(1.5,))
    assert hot.fit_and_select_direction() == 'i'
    assert hot.region.merits == {'t': NO_MERIT, 'i': NO_MERIT}
    with pytest.raises(TooFewStampsError, match='ko=6 and bgo=1 need 28 or more'):
        hot.iterative_fit_and_clip()


# -- the fit ----------------------------------------------------------------------------------------

def fitted(**values):
    hot = pair(force_convolve='t', ks=3.0, **values)
    hot.iterative_fit_and_clip()
    return hot


def by_status(hot, status):
    return {(cell_of(s), rank_of(hot, s)) for s in hot.template_substamps if s.status is status}


def test_a_variable_star_is_replaced_by_the_next_of_its_stamp():
    steady, hot = fitted(), fitted(variable=((BRIGHT_IN_THE_MIDDLE, 1.3),))
    used = by_status(steady, SubstampStatus.USED_IN_FINAL_FIT)
    assert (12, 0) in used
    assert (12, 0) in by_status(hot, SubstampStatus.REJECTED_ITERATIVE_FIT)
    assert by_status(hot, SubstampStatus.USED_IN_FINAL_FIT) == used - {(12, 0)} | {(12, 1)}
    assert hot.region.fit.iterations > steady.region.fit.iterations
    assert hot.region.fit.model.sum(90, 90) == pytest.approx(0.7, abs=0.01)


def test_a_stamp_without_another_star_is_out():
    steady = fitted()
    hot = fitted(variable=((BRIGHT_IN_THE_MIDDLE, 1.3), (BRIGHT_IN_THE_MIDDLE + 1, 0.5)))
    assert by_status(hot, SubstampStatus.REJECTED_ITERATIVE_FIT) >= {(12, 0), (12, 1)}
    assert 12 not in {cell for cell, _ in by_status(hot, SubstampStatus.USED_IN_FINAL_FIT)}
    assert hot.region.fit.n_used == steady.region.fit.n_used - 1
    assert hot.region.fit.n_stamps == steady.region.fit.n_stamps


@pytest.mark.parametrize('variable', [(), ((BRIGHT_IN_THE_MIDDLE, 1.3), (14, 0.6), (15, 0.7))])
def test_the_fit_ends_when_no_star_stands_out(variable):
    fit, stamps = (hot := fitted(variable=variable)).region.fit, hot.region.sides['t'].stamps
    again = pair(force_convolve='t', ks=3.0, variable=variable)
    again.find_stamps()
    design = again.region.design('t')
    for stamp, left in zip(design.stamps, stamps, strict=True):
        stamp.current = left.current
    live = [k for k, stamp in enumerate(design.stamps) if stamp.alive]
    design.fill(live)
    model = design.solve(live)
    assert_array_equal(model.solution, fit.model.solution)
    merits = design.merits(model, live, np.zeros((180, 180), 'i4'))
    assert clipped_moments(merits, 3.0) == (fit.mean_merit, fit.merit_scatter)
    assert (merits - fit.mean_merit <= 3.0 * fit.merit_scatter).all()
    assert fit.n_used == len(live)


def test_merits_are_near_one_where_the_noise_is_what_it_is_said_to_be():
    fit = fitted().region.fit
    # the template's noise is smoothed by the kernel: below 1, but not far
    assert 0.5 < fit.mean_merit < 1.1


# -- CCDData in, CCDData out ----------------------------------------------------------------------

def ccd(image):
    from astropy.nddata import CCDData, StdDevUncertainty
    ccd = CCDData(image, unit='adu', uncertainty=StdDevUncertainty(np.full(image.shape, 3.0)), meta={'OBJECT': 'M 31'},
                  mask=np.zeros(image.shape, bool))
    ccd.mask[20, 30] = True
    ccd.psf = np.eye(5)[2][:, np.newaxis] * np.eye(5)[2]
    return ccd


def test_an_image_comes_back_with_uncertainty_mask_header_and_psf():
    model, image = model_of(), np.random.default_rng(3).normal(100, 3, SHAPE)
    given = ccd(image)
    applied = model.apply(given)
    _, variance, flags = model.convolve_planes(image.astype('f4'), np.full(SHAPE, 9, 'f4'),
                                               np.where(given.mask, 0x84, 0).astype('i4'))
    good = ~applied.mask
    assert (applied.unit, applied.header['OBJECT']) == ('adu', 'M 31')
    assert_allclose(applied.uncertainty.array[good], np.sqrt(variance)[good], rtol=1e-6)
    assert applied.mask[20, 30]
    assert applied.mask[:model.half_width].all()
    assert np.isfinite(applied.data[good]).all()
    assert_array_equal(applied.mask[5:-5, 5:-5], (flags != 0)[5:-5, 5:-5] & ((flags & 0x8010) != 0)[5:-5, 5:-5])
    ny, nx = SHAPE
    kernel = model.image(nx // 2, ny // 2)
    middle = applied.psf.shape[0] // 2
    assert applied.psf[middle, middle] == pytest.approx(kernel[model.half_width, model.half_width] / kernel.sum())


def test_an_image_without_uncertainty_comes_back_without():
    given = ccd(np.ones(SHAPE))
    given.uncertainty = None
    assert model_of().apply(given).uncertainty is None


def test_an_image_of_another_shape_is_refused_like_an_array():
    with pytest.raises(InputError, match='applies to images of shape'):
        model_of().apply(ccd(np.ones((30, 40))))
