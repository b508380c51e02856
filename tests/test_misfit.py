"""What is left of bright stars beyond noise: no source, and no loss elsewhere."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair, positions_of
from hotpants_cy.products.misfit import common_light, excess_scatter

N = 400


@pytest.mark.parametrize('true', [0.005, 0.03])
def test_the_scatter_beyond_noise_is_found(true):
    rng = np.random.default_rng(1)
    light, groups = rng.uniform(1e3, 1e5, 6000)**2, np.arange(6000) // 30
    noise = np.full(6000, 100.0**2)
    values = rng.normal(0, np.sqrt(noise + true**2 * light))
    assert excess_scatter(values, noise, light, groups) == pytest.approx(true, rel=0.1)
    # one star in ten varies
    values[groups % 10 == 0] += 0.3 * np.sqrt(light[groups % 10 == 0])
    assert excess_scatter(values, noise, light, groups) == pytest.approx(true, rel=0.4)


def test_noise_alone_and_few_stars_give_no_scatter():
    rng = np.random.default_rng(2)
    light, noise, groups = np.full(900, 1e8), np.full(900, 100.0**2), np.arange(900) // 30
    assert excess_scatter(rng.normal(0, 90, 900), noise, light, groups) == 0
    assert excess_scatter(rng.normal(0, 500, 900), noise, light, groups // 6) == 0
    assert excess_scatter(np.array([]), np.array([]), np.array([]), np.array([], int)) == 0


@pytest.fixture(scope='module')
def misfitted():
    """A pair whose PSF varies as the kernel does not; a third of its bright stars are held out."""
    pair = make_pair((N, N), seed=3, n_stars=80, n_transients=8, transient_snr=(8, 30), variation=0.25,
                     star_flux=(4e3, 3e6))
    xy, height = positions_of(pair.stars), 0.85 * pair.stars['flux'].value * pair.science_psf(0, 0)(0, 0)
    bright = np.flatnonzero((height > 1000) & (xy.min(axis=1) > 40) & (xy.max(axis=1) < N - 41))
    held_out = xy[bright[np.argsort(-height[bright])]][1::3]
    result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=6, nstampy=6),
                         avoid=held_out, n_threads=1)
    return pair, held_out, result


def near(positions, radius):
    yx = np.indices((N, N)).reshape(2, -1)
    return cKDTree(positions).query(yx[::-1].T)[0].reshape(N, N) <= radius


def test_the_score_is_narrow_on_stars_that_the_kernel_does_not_fit(misfitted):
    pair, held, result = misfitted
    score, misfit = result.score, result._scores._found[1][0]
    chosen = near(held, 4) & ~near(positions_of(pair.transients), 10) & ~score.mask
    before = result.flux.data / np.sqrt(result.flux.uncertainty.array**2 - misfit.variance)
    assert before[chosen].std() > 2
    assert 0.6 < score.data[chosen].std() < 1.3
    table = result.find_candidates()
    real = cKDTree(positions_of(pair.transients)).query(np.column_stack([table['x'], table['y']]))[0] < 2
    assert real.sum() == len(pair.transients)
    assert (~real).sum() <= 1
    assert (np.abs(before) > 5)[near(positions_of(pair.stars), 8)].sum() > 20


def test_the_sky_and_sources_in_it_are_as_before(misfitted):
    pair, _, result = misfitted
    score, misfit = result.score, result._scores._found[1][0]
    sources = np.vstack([positions_of(pair.stars), positions_of(pair.transients)])
    assert score.data[~near(sources, 15) & ~score.mask].std() == pytest.approx(1, abs=0.03)
    stars, error = cKDTree(positions_of(pair.stars)), result.flux.uncertainty.array
    for x, y in positions_of(pair.transients):
        if stars.query((x, y))[0] > 20:
            assert misfit.at(x, y) < 0.1 * error[round(y), round(x)]


def test_a_new_source_is_no_light_that_both_images_have(misfitted):
    pair, held, result = misfitted
    light = common_light(result._hot.live_regions[0], result.noise.fields[0])
    x, y = np.round(held).astype(int).T
    assert (light[y, x] > 0).all()
    x, y = np.round(positions_of(pair.transients)).astype(int).T
    assert (light[y, x] == 0).all()


def test_no_source_is_found_around_saturated_stars():
    pair = make_pair((N, N), seed=4, n_stars=60, n_transients=6, transient_snr=(10, 30), saturation=5e4, n_saturated=4)
    config = hp.HotpantsConfig(ko=0, nstampx=5, nstampy=5, tuthresh=4.9e4, iuthresh=4.9e4)
    result = hp.subtract(pair.science, pair.template, config=config, n_threads=1)
    table = result.find_candidates()
    real = cKDTree(positions_of(pair.transients)).query(np.column_stack([table['x'], table['y']]))[0] < 2
    assert real.sum() == len(pair.transients)
    assert (~real).sum() == 0
