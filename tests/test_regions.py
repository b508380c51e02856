"""Several regions, each with a kernel of its own; one that fails is masked and named, never zeros."""

import logging

import numpy as np
import pytest
from astropy.nddata import CCDData
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=0, nregx=2, force_convolve='t')
PAIR = make_pair((220, 420), seed=4, n_transients=0, star_flux=(8e3, 2e5))
SHAPE = 220, 420
LEFT, RIGHT = np.s_[:, :209], np.s_[:, 210:]            # both regions have the column between, the second one wins
DIMMED = 0.7                                            # what the science image's right half lets through


def dimmed():
    """A science image of half the pair whose flux scale differs from the other half's."""
    science = PAIR.science.copy()
    science.data[RIGHT] = 150 + DIMMED * science.data[RIGHT]
    science.uncertainty.array[RIGHT] *= DIMMED
    return science


def without_stars(*sections):
    """The pair with nothing but sky in some sections."""
    rng, images = np.random.default_rng(5), []
    for image, level in ((PAIR.science, 400.0), (PAIR.template, 250.0)):
        image = image.copy()
        for section in sections:
            sky = rng.normal(level, np.sqrt(level), SHAPE)
            image.data[section] = sky[section]
            image.uncertainty.array[section] = np.sqrt(level)
        images.append(image)
    return images


def subtract(science=PAIR.science, template=PAIR.template, **changes):
    return hp.subtract(science, template, config=CONFIG.replace(**changes))


def pull(result, section=np.s_[:, :]):
    difference = result.difference
    good = ~difference.mask[section]
    return (difference.data[section] / difference.uncertainty.array[section])[good]


# -- several kernels --------------------------------------------------------------------------

@pytest.fixture(scope='module')
def result():
    return subtract(dimmed(), normalize='i')


def test_each_region_has_its_own_flux_ratio(result):
    assert type(result.kernel) is hp.KernelMosaic
    assert result.kernel.sections == [(0, 209, 0, 219), (209, 419, 0, 219)]
    assert result.kernel.sum(100, 100) == pytest.approx(PAIR.kernel_sum, rel=0.02)
    assert result.kernel.sum(300, 100) == pytest.approx(DIMMED * PAIR.kernel_sum, rel=0.02)
    assert [result.difference.meta[f'KSUM0{k}'] for k in (0, 1)] == [
        pytest.approx(result.kernel.sum(x, 100)) for x in (100, 300)]


def test_the_difference_is_right_in_each_region(result):
    for section in (LEFT, RIGHT):
        assert 1.4826 * np.median(np.abs(pull(result, section))) == pytest.approx(1, abs=0.08)
    assert result.difference.mask[6:-6, 6:-6].sum() == 0


def test_one_kernel_for_both_halves_is_worse(result):
    assert np.std(pull(subtract(dimmed(), nregx=1, normalize='i'))) > 1.25 * np.std(pull(result))


def test_the_background_is_that_of_the_region(result):
    sky = [PAIR.background, 150 + DIMMED * 400 - DIMMED * PAIR.kernel_sum * 250]
    for k, section in enumerate((np.s_[10:-10, 10:205], np.s_[10:-10, 215:-10])):
        assert result.background.data[section].mean() == pytest.approx(sky[k], abs=8)
    x, y = np.array([40, 300]), np.array([50, 60])
    assert_allclose(result.kernel.background(x, y), result.background.data[y, x], rtol=1e-5)
    assert result.kernel.background(40, 50) == result.kernel.background(x, y)[0]


def test_the_convolved_image_is_that_of_the_mosaic(result):
    applied = result.kernel.apply(PAIR.template.data, background=True)
    good = ~result.difference.mask
    assert_allclose(result.convolved.data[good], applied[good], rtol=1e-5)
    assert np.isnan(applied[:, :6]).all()
    assert not np.isnan(applied[6:-6, 6:-6]).any()


def test_substamps_of_all_regions_are_listed(result):
    assert {bool(x >= 209) for x in result.substamps['x']} == {False, True}
    hot = hp.Hotpants(PAIR.template, dimmed(), config=CONFIG.replace(normalize='i'))
    assert [(s.x, s.y) for s in hot.find_stamps()[0]] == list(zip(result.substamps['x'], result.substamps['y'],
                                                                  strict=True))


def test_hotpants_has_the_planes_of_subtract(result):
    hot = hp.Hotpants(PAIR.template, dimmed(), config=CONFIG.replace(normalize='i'))
    out = hot.run_pipeline()
    good = ~result.difference.mask
    assert_array_equal(out['diff_image'][good], result.difference.data[good])
    assert_array_equal(out['output_mask'], result.difference.flags)
    for x in (100, 300):
        picture = hot.visualize_kernel((x, 100), size_factor=1)
        assert_array_equal(picture, result.kernel.image(x, 100))
    assert not np.array_equal(hot.visualize_kernel((100, 100)), hot.visualize_kernel((300, 100)))


def test_a_position_outside_and_an_image_of_another_shape_are_refused(result):
    with pytest.raises(hp.InputError, match=r'\(500, 100\)'):
        result.kernel.image(500, 100)
    with pytest.raises(hp.InputError, match=r'\(220, 400\)'):
        result.kernel.apply(PAIR.template.data[:, :400])


@pytest.mark.parametrize(('nregx', 'nregy'), [(1, 2), (2, 2)])
def test_regions_go_up_row_by_row(nregx, nregy):
    result = subtract(nregx=nregx, nregy=nregy, nstampx=3, nstampy=2, fitthresh=8)
    meta = result.difference.meta
    assert meta['NREGION'] == nregx * nregy
    firsts = [meta[f'REGION0{k}'] for k in range(nregx * nregy)]
    assert firsts[0].startswith('[1:')
    assert firsts[-1].endswith(':220]')
    assert [tuple(np.array(s) + 1) for s in result.kernel.sections] == [
        tuple(int(v) for part in text.strip('[]').split(',') for v in part.split(':')) for text in firsts]
    assert result.difference.mask[6:-6, 6:-6].sum() == 0


# -- parts of the image -----------------------------------------------------------------------

@pytest.mark.parametrize('nregx', [1, 2])
def test_only_the_good_range_is_used(nregx):
    result = subtract(nregx=nregx, good_range=(20, 200, 10, 180), nstampx=2, fitthresh=8)
    inside = np.zeros(SHAPE, bool)
    inside[16:174, 26:194] = True                       # a kernel less than rows 10 to 179, columns 20 to 199
    assert_array_equal(result.difference.mask, ~inside)
    assert np.isnan(result.difference.data[~inside]).all()
    assert all(20 <= x < 200 and 10 <= y < 180 for x, y in result.substamps['x', 'y'])


def test_regions_of_a_list_are_cut_out():
    rectangles = (5, 150, 10, 200), (210, 400, 30, 190)
    result = subtract(nregx=1, region_list=rectangles, nstampx=6, fitthresh=8)
    inside = np.zeros(SHAPE, bool)
    for x0, x1, y0, y1 in rectangles:
        inside[y0:y1 + 1, max(x0, 6):x1 + 1] = True
    assert_array_equal(result.difference.mask, ~inside)
    assert (result.difference.flags[~inside] & 0x8000).all()
    assert result.kernel.sections == list(rectangles)
    assert 1.4826 * np.median(np.abs(pull(result))) == pytest.approx(1, abs=0.08)


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.DeconvolutionWarning')
def test_same_direction_is_that_of_the_first_region():
    # the sharper image is convolved: the template on the left, the science image on the right
    science, template = PAIR.science.copy(), PAIR.template.copy()
    for one, other in ((science, PAIR.template), (template, PAIR.science)):
        one.data[RIGHT] = other.data[RIGHT]
        one.uncertainty.array[RIGHT] = other.uncertainty.array[RIGHT]

    def directions(**changes):
        meta = subtract(science, template, force_convolve='b', **changes).difference.meta
        return meta['CONVOL00'], meta['CONVOL01']
    assert directions() == ('TEMPLATE', 'IMAGE')
    assert directions(same_direction=True) == ('TEMPLATE', 'TEMPLATE')


# -- regions that fail ------------------------------------------------------------------------

@pytest.fixture(scope='module')
def half(tmp_path_factory):
    """Messages and result of a pair whose right half has no stars."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append((record.levelname, record.getMessage()))
    logger = logging.getLogger('hotpants_cy')
    logger.addHandler(handler)
    try:
        return messages, subtract(*without_stars(RIGHT))
    finally:
        logger.removeHandler(handler)


def test_a_region_without_stars_is_masked_and_never_zeros(half):
    _, result = half
    for image in (result.difference, result.convolved, result.background):
        assert image.mask[RIGHT].all()
        assert np.isnan(image.data[RIGHT]).all()
        assert np.isnan(image.uncertainty.array[RIGHT]).all()
    assert (result.difference.flags[RIGHT] & 0x8000).all()


def test_the_other_region_is_as_good_as_ever(half):
    _, result = half
    assert not result.difference.mask[6:-6, 6:210].any()
    assert 1.4826 * np.median(np.abs(pull(result))) == pytest.approx(1, abs=0.08)
    assert result.kernel.sum(100, 100) == pytest.approx(PAIR.kernel_sum, rel=0.02)
    with pytest.raises(hp.InputError, match='no region with a kernel'):
        result.kernel.image(300, 100)


def test_it_is_named_in_a_warning(half):
    warned = [text for level, text in half[0] if level == 'WARNING']
    assert len(warned) == 1
    assert '[210:420,1:220]' in warned[0]
    assert 'masked' in warned[0]
    assert 'no star' in warned[0]


def test_it_is_named_in_the_header_and_the_header_can_be_written(half, tmp_path):
    _, result = half
    result.difference.write(tmp_path / 'd.fits')
    meta = CCDData.read(tmp_path / 'd.fits').meta
    assert (meta['NREGION'], meta['REGION01']) == (2, '[210:420,1:220]')
    assert 'no star' in meta['FAILED01']
    assert meta['CONVOL00'] == 'TEMPLATE'
    assert 'FAILED00' not in meta
    assert 'CONVOL01' not in meta


def test_a_kernel_with_a_hole_comes_back_from_a_file(half, tmp_path):
    kernel = half[1].kernel
    kernel.write(tmp_path / 'k.fits')
    again = hp.KernelModel.read(tmp_path / 'k.fits')
    assert_array_equal(again.image(100, 100), kernel.image(100, 100))


def test_a_kernel_with_a_hole_applies_alike_after_reading(half, tmp_path):
    kernel = half[1].kernel
    kernel.write(tmp_path / 'k.fits')
    pixels = hp.KernelModel.read(tmp_path / 'k.fits').apply(PAIR.template.data)
    assert_array_equal(pixels, kernel.apply(PAIR.template.data))


def test_hotpants_goes_on_without_it_and_saves_it_masked(tmp_path):
    science, template = without_stars(LEFT)             # the first region this time
    config = CONFIG.replace(output_file=tmp_path / 'd.fits', mask_image_file=tmp_path / 'm.fits', fillval=-7.0)
    hot = hp.Hotpants(template, science, config=config)
    out = hot.run_pipeline()
    difference, mask = (CCDData.read(tmp_path / name, unit='adu') for name in ('d.fits', 'm.fits'))
    assert (difference.data[LEFT] == -7).all()
    assert (mask.data[LEFT] & 0x8000).all()
    assert 'no star' in difference.meta['FAILED00']
    assert np.isfinite(out['diff_image'][6:-6, 209:-6]).all()
    assert out['stats']['nx2norm'] > 30_000
    assert all(s.x >= 209 for s in hot.iterative_fit_and_clip()[1])


def test_when_every_region_fails_the_first_reason_is_raised():
    with pytest.raises(hp.NoStampsError, match=r'\[1:210,1:220\]'):
        subtract(*without_stars(LEFT, RIGHT))


def test_a_region_may_fail_in_a_later_step_too():
    science = PAIR.science.copy()
    science.data[RIGHT] = np.roll(science.data[RIGHT], 60, axis=0)
    result = subtract(science)
    assert result.difference.mask[RIGHT].all()
    assert not result.difference.mask[6:-6, 6:210].any()
    assert 'do not match' in result.difference.meta['FAILED01']
