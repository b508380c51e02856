"""Every public name of pyhotpants, and what it only promised, at work."""

import functools
import operator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import convolve

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.products.files import stars_file

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
PAIR = make_pair((210, 230), seed=12, n_transients=3, star_flux=(8e3, 2e5), variation=0.4)
SCIENCE, TEMPLATE = PAIR.science.data, PAIR.template.data
STATUS = hp.SubstampStatus
FILES = {name: f'{name}.fits' for name in ('output_file', 'noise_image_file', 'mask_image_file',
                                           'convolved_image_file', 'sigma_image_file')}


def hotpants(*args, template=PAIR.template, science=PAIR.science, config=CONFIG, **options):
    changes = {name: options.pop(name) for name in list(options) if hasattr(config, name)}
    return hp.Hotpants(template, science, *args, config=config.replace(**changes), **options)


@functools.cache
def finished(direction):
    """An object that has run in one direction; only to be looked at."""
    hot = hotpants(force_convolve=direction)
    hot.run_pipeline()
    return hot


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a, b)


# -- the package ------------------------------------------------------------------------------

def test_the_package_has_the_names_of_pyhotpants():
    names = {}
    exec('from hotpants_cy import *', names)
    assert {'Hotpants', 'HotpantsConfig', 'HotpantsError', 'Substamp', 'SubstampStatus', '__version__'} <= set(names)
    assert issubclass(hp.HotpantsError, Exception)


def test_substamps_have_the_five_states_of_pyhotpants():
    ours = ['REFUSED']
    assert [status.name for status in STATUS] == ['FOUND', 'PASSED_FOM_CHECK', 'REJECTED_FOM_CHECK',
                                                  'USED_IN_FINAL_FIT', 'REJECTED_ITERATIVE_FIT', *ours]


# -- the configuration ------------------------------------------------------------------------

DEFAULTS = {
    'tuthresh': None, 'tuktresh': None, 'tgain': 1.0, 'trdnoise': 0.0, 'tpedestal': 0.0, 'iuthresh': None,
    'iuktresh': None, 'ilthresh': None, 'igain': 1.0, 'irdnoise': 0.0, 'ipedestal': 0.0, 'rkernel': 10, 'ko': 2,
    'bgo': 1, 'fitthresh': 20.0, 'nss': 3, 'rss': 15, 'ks': 2.0, 'kfm': 0.99, 'stat_sig': 3.0, 'kf_spread_mask1': 1.0,
    'verbose': 0, 'force_convolve': 'b', 'normalize': 't', 'fom': 'v', 'rescale_ok': False, 'conv_var': False,
    'use_pca': False, 'nregx': 1, 'nregy': 1, 'nstampx': 10, 'nstampy': 10, 'output_file': None,
    'noise_image_file': None, 'mask_image_file': None, 'convolved_image_file': None, 'sigma_image_file': None,
    'stamp_region_file': None, 'ngauss': 3, 'scale_fitthresh': 0.5, 'min_frac_stamps': 0.1,
}
OURS = {'tlthresh': None, 'fillval': np.nan, 'fillval_noise': np.nan, 'deg_fixe': (6, 4, 2),
        'sigma_gauss': (0.7, 1.5, 3.0)}


def test_every_parameter_has_the_name_and_the_default_of_pyhotpants():
    values = hp.HotpantsConfig().to_dict()
    assert {name: values[name] for name in DEFAULTS} == DEFAULTS
    assert str({name: values[name] for name in OURS}) == str(OURS)


@pytest.mark.parametrize('name', [*DEFAULTS, *OURS])
def test_every_parameter_can_be_given_by_name(name):
    default = hp.HotpantsConfig().to_dict()
    assert str(hp.HotpantsConfig(**{name: default[name]}).to_dict()) == str(default)


def test_derived_numbers_have_the_names_of_pyhotpants():
    config = hp.HotpantsConfig(rkernel=7, rss=11, ko=2, bgo=3)
    assert (config.hwkernel, config.fwkernel, config.hwksstamp, config.fwksstamp) == (7, 15, 11, 23)
    assert (config.ncomp_ker, config.n_bg_vectors) == (28 + 15 + 6, 10)
    hot = hotpants(bgo=2)
    assert hot.config.n_comp_total == len(hot.iterative_fit_and_clip()[0])


@functools.cache
def at_work(**changes):
    """All that may show the effect of a parameter."""
    bad = np.zeros(SCIENCE.shape, bool)
    bad[70:74, 120:124] = True
    hot = hotpants(template=TEMPLATE, science=SCIENCE, t_mask=bad, **changes)
    planes = hot.convolve_and_difference()
    return *planes, np.array([(s.x, s.y) for s in hot.final_substamps]), np.array(hot.region.fit.mean_merit)


@pytest.mark.parametrize(('name', 'value'), [
    ('tuthresh', 3000), ('tuktresh', 3000), ('tlthresh', 190), ('tgain', 2.0), ('trdnoise', 20.0), ('tpedestal', 100.0),
    ('iuthresh', 2000), ('iuktresh', 2000), ('ilthresh', 330), ('igain', 2.0), ('irdnoise', 20.0), ('ipedestal', 200.0),
    ('rkernel', 5), ('ko', 0), ('bgo', 0), ('fitthresh', 200.0), ('nss', 1), ('rss', 11), ('ks', 1.0), ('kfm', 0.5),
    ('stat_sig', 1.5), ('force_convolve', 'i'), ('normalize', 'i'), ('fom', 's'), ('fillval', -5.0),
    ('fillval_noise', -5.0), ('rescale_ok', True), ('conv_var', True), ('nregx', 2), ('nregy', 2), ('nstampx', 3),
    ('nstampy', 3), ('ngauss', 3), ('deg_fixe', (4, 2, 0)), ('sigma_gauss', (0.9, 1.8, 3.6)),
])
def test_every_parameter_does_something(name, value):
    changes = {name: value}
    if name == 'ngauss':
        changes = {'ngauss': 2, 'deg_fixe': (4, 2), 'sigma_gauss': (1.0, 2.5)}
    # a threshold of the science image's stars only matters if that is convolved
    common = {'force_convolve': 'i'} if name == 'iuktresh' else {}
    pairs = zip(at_work(**common | changes), at_work(**common), strict=True)
    assert not all(np.array_equal(a, b, equal_nan=a.dtype.kind == 'f') for a, b in pairs)


# -- arguments and attributes -----------------------------------------------------------------

def test_the_arguments_stand_in_the_order_of_pyhotpants():
    masks = np.zeros((2, *SCIENCE.shape), 'i4')
    masks[0, 60:64, 90:94] = masks[1, 120:124, 40:44] = 3
    errors = np.full(TEMPLATE.shape, 31.0), np.full(SCIENCE.shape, 17.0)
    stars = [(145, 123), (67, 184)]
    config, header = CONFIG.replace(force_convolve='t', auto_search=False, ko=0), {'OBSERVER': 'me'}
    hot = hp.Hotpants(TEMPLATE, SCIENCE, *masks, *errors, stars, config, header)
    assert [(s.x, s.y) for s in hot.find_stamps()[0]] == [(x - 1, y - 1) for x, y in stars]
    assert hot.config is config
    assert hot.output_header['OBSERVER'] == 'me'
    flags = hot.convolve_and_difference()[3]
    assert (flags[60:64, 90:94] & 0x8000).all()
    assert (flags[120:124, 40:44] & 0x8000).all()
    assert_allclose(hot.results['t_noise_sq'], 31.0**2)
    assert_allclose(hot.results['i_noise_sq'], 17.0**2)


def test_files_give_what_arrays_give(tmp_path):
    mask = np.zeros(SCIENCE.shape, 'i2')
    mask[60:64, 90:94] = 1
    arrays = TEMPLATE, SCIENCE, mask, mask[::-1].copy(), np.sqrt(TEMPLATE), np.sqrt(SCIENCE)
    paths = [str(tmp_path / f'{k}.fits') for k in range(6)]
    for path, array in zip(paths, arrays, strict=True):
        fits.writeto(path, array)
    hot = hp.Hotpants(*paths, config=CONFIG)
    assert (hot.template_path, hot.image_path) == tuple(paths[:2])
    assert_same(hot.convolve_and_difference(), hp.Hotpants(*arrays, config=CONFIG).convolve_and_difference())


def test_attributes_have_the_names_of_pyhotpants():
    hot = hotpants(star_catalog=[(50, 60)])
    assert (hot.nx, hot.ny) == (230, 210)
    assert_array_equal(hot.template_data, TEMPLATE)
    assert_array_equal(hot.image_data, SCIENCE)
    assert (hot.template_header['OBJECT'], hot.image_header['OBJECT']) == ('simulated template', 'simulated science')
    assert (hot.template_path, hot.image_path, hot.star_catalog) == (None, None, [(50, 60)])
    assert hot.config is not CONFIG
    assert hot.config == CONFIG


@pytest.mark.parametrize('header', [{'OBSERVER': 'me'}, fits.Header({'OBSERVER': 'me', 'BZERO': 32768, 'NAXIS': 7})])
def test_the_output_header_replaces_that_of_the_science_image(tmp_path, header):
    path = tmp_path / 'd.fits'
    hotpants(output_header=header, output_file=path).run_pipeline()
    data, written = fits.getdata(path, header=True)
    assert written['OBSERVER'] == 'me'
    assert 'OBJECT' not in written
    assert_array_equal(data, hotpants().convolve_and_difference()[0])


# -- methods ----------------------------------------------------------------------------------

@pytest.mark.parametrize('step', ['find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip',
                                  'convolve_and_difference'])
def test_after_any_step_it_starts_again_with_another_configuration(step):
    hot, other = hotpants(), CONFIG.replace(ko=0, sigma_gauss=(0.8, 1.6, 3.2), normalize='i', nstampx=3)
    getattr(hot, step)()
    hot.config = other
    assert hot.config is other
    assert_same(hot.convolve_and_difference(), hotpants(config=other).convolve_and_difference())
    hot.config = CONFIG
    assert_same(hot.convolve_and_difference(), hotpants().convolve_and_difference())


def test_a_configuration_that_is_refused_changes_nothing():
    hot = hotpants()
    planes = hot.convolve_and_difference()
    with pytest.raises(TypeError, match='HotpantsConfig'):
        hot.config = {'ko': 0}
    assert hot.config == CONFIG
    assert_same(hot.convolve_and_difference(), planes)


def test_two_objects_may_run_at_once():
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(hotpants(force_convolve=d).run_pipeline) for d in 'ti' * 3]
    for run, d in zip(runs, 'ti' * 3, strict=True):
        assert_array_equal(run.result()['diff_image'], finished(d).run_pipeline()['diff_image'])


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_the_pipeline_returns_the_dictionary_of_pyhotpants(direction):
    hot = finished(direction)
    out = hot.run_pipeline()
    assert list(out) == ['diff_image', 'convolved_image', 'noise_image', 'output_mask', 'stats', 'conv_direction',
                         'kernel_solution', 'fit_stats']
    assert set(out['stats']) == {'diff_mean', 'diff_std', 'noise_mean', 'x2norm', 'nx2norm'}
    assert set(out['fit_stats']) == {'meansig', 'scatter', 'nskipped'}
    assert out['conv_direction'] == direction
    good = out['output_mask'] == 0
    assert out['stats']['noise_mean'] == pytest.approx(out['noise_image'][good].mean(dtype=float), rel=0.02)
    assert out['stats']['diff_mean'] == pytest.approx(np.median(out['diff_image'][good]), abs=2)
    middle = out['convolved_image'], TEMPLATE, SCIENCE
    ratio = [np.median(plane[good].astype(float)) for plane in middle]
    assert ratio[0] == pytest.approx(ratio[2] / PAIR.kernel_sum if direction == 't' else ratio[1], rel=0.02)


def test_results_have_the_planes_that_they_came_from():
    mask = np.zeros(SCIENCE.shape, bool)
    mask[60:64, 90:94] = True
    hot = hotpants(i_mask=mask)
    results = hot.results
    assert set(results) == {*hot.get_final_outputs(), 'input_mask', 't_noise_sq', 'i_noise_sq', 'final_fits'}
    assert_array_equal((results['input_mask'] & 0x80) != 0, mask)
    assert_allclose(results['i_noise_sq'][~mask], PAIR.science.uncertainty.array[~mask]**2, rtol=1e-6)
    assert_allclose(results['t_noise_sq'], PAIR.template.uncertainty.array**2, rtol=1e-6)
    assert results['final_fits'] == hot.iterative_fit_and_clip()[1]


# -- files ------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A run over a star that is too bright, with all of its files."""
    folder = tmp_path_factory.mktemp('saved')
    science = PAIR.science.copy()
    near = finished('t').iterative_fit_and_clip()[1][0]
    box = np.s_[near.y - 8:near.y + 9, near.x - 8:near.x + 9]
    science.data[box] += np.float32(0.6) * (science.data[box] - 400)
    paths = {name: str(folder / file) for name, file in FILES.items()}
    hot = hotpants(science=science, stamp_region_file=folder / 'stars.reg', **paths)
    hot.run_pipeline()
    files = {name: fits.PrimaryHDU(*fits.getdata(path, header=True)) for name, path in paths.items()}
    return hot, files, (folder / 'stars.reg').read_text()


def test_every_file_holds_its_plane(saved):
    hot, files, _ = saved
    difference, convolved, noise, flags = hot.convolve_and_difference()
    assert_array_equal(files['output_file'].data, difference)
    assert_array_equal(files['noise_image_file'].data, noise)
    assert_array_equal(files['convolved_image_file'].data, convolved)
    assert_array_equal(files['mask_image_file'].data, flags)
    assert_array_equal(files['sigma_image_file'].data[flags == 0], (difference / noise)[flags == 0])
    assert files['mask_image_file'].data.dtype == np.uint16
    assert all(files[name].data.dtype == '>f4' for name in files if name != 'mask_image_file')


@pytest.mark.parametrize('name', FILES)
def test_every_header_carries_the_quality_numbers(saved, name):
    hot, files, _ = saved
    header, stats, fit = files[name].header, hot.results['stats'], hot.results['fit_stats']
    assert header['CONVOL00'] == {'t': 'TEMPLATE', 'i': 'IMAGE'}[hot.fit_and_select_direction()]
    assert [header[stem + '00'] for stem in ('DMEAN', 'DSIGE', 'DSIG', 'X2NRM', 'NX2NRM', 'SSSIG', 'SSSCAT')] == [
        stats['diff_mean'], stats['diff_std'], stats['noise_mean'], stats['x2norm'], stats['nx2norm'], fit['meansig'],
        fit['scatter']]
    assert header['KSUM00'] == pytest.approx(PAIR.kernel_sum, rel=0.03)
    assert header['CTYPE1'] == 'RA---TAN'
    assert header['OBJECT'] == 'simulated science'


@pytest.mark.parametrize('name', ['output_file', 'noise_image_file', 'convolved_image_file', 'sigma_image_file'])
def test_the_unit_of_a_plane_is_that_of_its_numbers(saved, name):
    assert saved[1][name].header.get('BUNIT') == (None if name == 'sigma_image_file' else 'adu')


def boxes(text):
    """Positions (0-based) by colour in a ds9 file."""
    found = {}
    for line in text.splitlines()[1:]:
        box, colour = line.removeprefix('image;box(').split(') # color=')
        x, y, width, height = map(int, box.split(','))
        assert width == height == 19
        found.setdefault(colour, []).append((x - 1, y - 1))
    return found


def test_the_region_file_has_used_stars_green_and_rejected_ones_red(saved):
    hot, _, text = saved

    def having(status):
        return [(s.x, s.y) for s in hot.final_substamps if s.status is status]
    assert len(having(STATUS.REJECTED_ITERATIVE_FIT)) >= 1
    assert boxes(text)['green'] == having(STATUS.USED_IN_FINAL_FIT)
    assert boxes(text)['red'] == having(STATUS.REJECTED_ITERATIVE_FIT)


def test_stars_that_fail_the_direction_test_are_yellow_and_untried_ones_left_out():
    stars = [hp.Substamp(0, k, 10 * k, 20 * k, 1.0, status=status) for k, status in enumerate(STATUS)]
    assert boxes(stars_file(stars, 19).text) == {'yellow': [(20, 40)], 'green': [(30, 60)], 'red': [(40, 80)]}


def test_the_file_of_a_whole_run_has_yellow_stars_too(saved):
    hot, _, text = saved
    assert any(s.status is STATUS.REJECTED_FOM_CHECK for s in hot.template_substamps + hot.image_substamps)
    assert set(boxes(text)) == {'green', 'red', 'yellow'}


def test_save_outputs_writes_only_what_is_named_and_runs_what_is_missing(tmp_path):
    hotpants(noise_image_file=tmp_path / 'n.fits').save_outputs()
    assert [path.name for path in tmp_path.iterdir()] == ['n.fits']


def test_without_a_name_save_outputs_says_that_there_is_nothing_to_save(caplog):
    finished('t').save_outputs()
    assert 'name a file' in caplog.text


def test_a_file_that_cannot_be_written_leaves_none(tmp_path):
    with pytest.raises(hp.OutputError, match='missing'):
        hotpants(output_file=tmp_path / 'd.fits', mask_image_file=tmp_path / 'missing' / 'm.fits').run_pipeline()
    assert not list(tmp_path.iterdir())


# -- the kernel picture -----------------------------------------------------------------------

def test_the_kernel_picture_is_that_of_the_position_asked_for():
    hot = finished('t')
    low, high = (hot.visualize_kernel(at)[7:20, 7:20] for at in ((15, 15), (215, 195)))
    assert_array_equal(low, hot.kernel.image(15, 15))
    assert_array_equal(high, hot.kernel.image(215, 195))
    # the seeing of this pair gets worse from the lower left to the upper right
    assert low[6, 6] > 1.3 * high[6, 6]


@pytest.mark.parametrize('at', [(50, 60), [50, 60], (50.0, 60.0), np.array([50, 60]), (np.int64(50), np.int32(60))])
def test_positions_may_be_any_pair_of_numbers(at):
    assert_array_equal(finished('t').visualize_kernel(at), finished('t').visualize_kernel((50, 60)))


@pytest.mark.parametrize(('factor', 'size'), [(1, 13), (2.0, 27), (1.5, 19), (3, 39), (0.5, 7)])
def test_the_size_factor_sets_the_width_around_the_same_centre(factor, size):
    picture = finished('t').visualize_kernel((50, 60), size_factor=factor)
    kernel = finished('t').kernel.image(50, 60)
    assert picture.shape == (size, size)
    assert picture[size // 2, size // 2] == kernel[6, 6]
    assert picture.sum() == pytest.approx(kernel.sum() if size >= 13 else kernel[3:10, 3:10].sum())


# -- substamps --------------------------------------------------------------------------------

def test_substamp_details_have_the_names_of_pyhotpants():
    hot = hotpants()
    details = hot.get_substamp_details()
    assert details['template_substamps'] == hot.template_substamps
    assert details['image_substamps'] == hot.image_substamps
    final = details['final_fit_locations']
    assert final['convolution_direction'] == hot.fit_and_select_direction()
    assert final['locations'] == [{'id': s.id, 'x': s.x, 'y': s.y} for s in hot.iterative_fit_and_clip()[1]]
    assert len(final['locations']) >= 5


def star_of(direction):
    return max(finished(direction).iterative_fit_and_clip()[1], key=operator.attrgetter('score'))


def around(plane, star, half=9):
    return plane[star.y - half:star.y + half + 1, star.x - half:star.x + half + 1]


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_cutouts_are_the_right_way_round(direction):
    star = star_of(direction)
    assert star.direction == direction
    assert_array_equal(star.image_cutout, around(SCIENCE, star))
    assert_array_equal(star.template_cutout, around(TEMPLATE, star))
    variance = sum(image.uncertainty.array**2 for image in (PAIR.science, PAIR.template))
    assert_allclose(star.noise_variance_cutout, around(variance, star), rtol=1e-6)


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_models_are_the_convolved_image_and_come_close_to_the_other(direction):
    star, kernel = star_of(direction), finished(direction).kernel
    source, target = (TEMPLATE, star.image_cutout) if direction == 't' else (SCIENCE, star.template_cutout)
    wide = around(source, star, 15).astype(float)
    vectors = [convolve(wide, picture, 'valid') for picture in kernel.basis.images]
    assert star.basis_vectors.shape == (CONFIG.ncomp_ker, 19, 19)
    assert_allclose(star.basis_vectors, vectors, atol=1e-4 * target.max())
    *own, sky = star.local_kernel_solution
    assert_allclose(star.convolved_model_local, np.tensordot(own, vectors, 1) + sky, atol=1e-4 * target.max())
    whole = convolve(wide, kernel.image(star.x, star.y), 'valid') + kernel.background(star.x, star.y)
    assert_allclose(star.convolved_model_global, whole, atol=1e-4 * target.max())
    for model in (star.convolved_model_local, star.convolved_model_global):
        assert np.abs(model - target).max() < 0.05 * np.ptp(target)
        assert np.std(model - target) < 0.2 * np.std(around(source, star) - target)
    assert np.std(star.convolved_model_local - target) < np.std(star.convolved_model_global - target)


def test_what_is_known_of_a_substamp_grows_with_the_steps():
    hot = hotpants()
    hot.find_stamps()
    star = hot.template_substamps[0]
    assert (star.status, star.fit_results, star.convolved_model_global) == (STATUS.FOUND, {}, None)
    assert star.convolved_model_local.shape == (19, 19)
    assert hot.fit_and_select_direction() == 't'
    assert star.status is STATUS.PASSED_FOM_CHECK
    assert star.kernel_sum == pytest.approx(PAIR.kernel_sum, rel=0.1)
    hot.iterative_fit_and_clip()
    assert star.status is STATUS.USED_IN_FINAL_FIT
    assert star.convolved_model_global.shape == (19, 19)
    assert star.fit_results == {'t': {'fom': star.merit, 'chi2': None}}
    difference, _, noise, _ = hot.convolve_and_difference()
    pull = around(difference, star) / around(noise, star)
    assert star.fit_results['t']['chi2'] == pytest.approx(np.mean(pull.astype(float)**2), rel=1e-5)


def test_a_substamp_names_its_place():
    template, science = hotpants().find_stamps()
    for side, direction in ((template, 't'), (science, 'i')):
        assert {s.direction for s in side} == {direction}
        assert [s.id for s in side] == list(range(len(side)))
        assert all(type(v) is int for s in side for v in (s.id, s.stamp_group_id, s.x, s.y))


# -- what was only promised -------------------------------------------------------------------

def test_the_gaussians_asked_for_are_those_of_the_kernel():
    kernel = hotpants(ngauss=1, deg_fixe=[0], sigma_gauss=[1.3], force_convolve='t').kernel
    y, x = np.indices((13, 13)) - 6
    shape = np.exp(-(x**2 + y**2) / (2 * 1.3**2))
    assert_allclose(kernel.image(100, 100) / kernel.sum(100, 100), shape / shape.sum(), atol=1e-6)


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_normalize_sets_the_flux_scale(direction):
    planes = {scale: hotpants(force_convolve=direction, normalize=scale).convolve_and_difference() for scale in 'tiu'}
    ratio = finished(direction).kernel.sum(115, 105)
    good = planes['t'][3] == 0
    for k in range(3):
        assert_allclose(planes['i'][k][good], (ratio if direction == 't' else 1 / ratio) * planes['t'][k][good],
                        rtol=1e-4, atol=1e-2)
        assert_array_equal(planes['u'][k], planes['i' if direction == 't' else 't'][k])


def test_pedestals_are_taken_off_data_and_thresholds():
    whole = [np.round(image) for image in (TEMPLATE, SCIENCE)]
    limits = {'tuthresh': 9000, 'iuthresh': 6000, 'tlthresh': 180, 'ilthresh': 300}
    plain = hotpants(template=whole[0], science=whole[1], **limits)
    raised = hotpants(template=whole[0] + 1000, science=whole[1] + 500, tpedestal=1000, ipedestal=500,
                      **{name: value + (1000 if name[0] == 't' else 500) for name, value in limits.items()})
    assert_same(raised.convolve_and_difference(), plain.convolve_and_difference())
    assert (plain.convolve_and_difference()[3] & 0x06).any()


@pytest.mark.parametrize(('changes', 'n'), [({'nregx': 2}, 2), ({'nregy': 2}, 2), ({'nregx': 2, 'nregy': 2}, 4)])
def test_regions_have_kernels_of_their_own(changes, n):
    hot = hotpants(ko=0, nstampx=2, nstampy=2, fitthresh=10, **changes)
    hot.run_pipeline()
    assert len({model.solution[0] for model in hot.kernel.models}) == n
    assert np.isfinite(hot.run_pipeline()['diff_image']).mean() > 0.85


def test_a_second_search_with_a_lower_threshold_fills_more_stamps():
    def found(**changes):
        return len(hotpants(fitthresh=120, **changes).find_stamps()[0])
    once, lower, lowest = found(min_frac_stamps=0), found(min_frac_stamps=1), found(min_frac_stamps=1,
                                                                                    scale_fitthresh=0.1)
    assert 0 < once < lower < lowest
    assert found(min_frac_stamps=1, scale_fitthresh=0.5) == len(hotpants(fitthresh=60).find_stamps()[0])


@pytest.mark.parametrize('side', ['template', 'science'])
def test_nan_in_the_input_costs_its_surroundings_only(side):
    image = {'template': TEMPLATE, 'science': SCIENCE}[side].copy()
    image[100:110, 60:70] = np.nan
    out = hotpants(**{side: image}, force_convolve='t').run_pipeline()
    near = np.zeros(SCIENCE.shape, bool)
    near[94:116, 54:76] = True
    clean = finished('t').run_pipeline()
    assert np.isnan(out['diff_image'][100:110, 60:70]).all()
    assert_array_equal(np.isnan(out['diff_image'][~near]), np.isnan(clean['diff_image'][~near]))
    scatter = np.nanstd(clean['diff_image'][~near])
    assert np.nanstd((out['diff_image'] - clean['diff_image'])[~near]) < 0.5 * scatter


def test_pixels_at_the_upper_threshold_are_saturated():
    flags = hotpants(iuthresh=3000).convolve_and_difference()[3]
    assert (SCIENCE >= 3000).any()
    assert_array_equal((flags[6:-6, 6:-6] & 0x02) != 0, SCIENCE[6:-6, 6:-6] >= 3000)
