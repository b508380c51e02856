"""One run of the command line: files in, the engine, files out."""

import logging
import math

import numpy as np

from ..exceptions import InputError
from ..inputs.reading import read_plane
from ..inputs.writing import check_writable, write_whole
from ..kernel.table import c_column, frame_cards, read_table
from ..pipeline import Hotpants
from ..products.files import TextFile
from ..products.header import noise_cards
from ..words import counted
from .inputs import read_pair
from .lists import read_regions, read_stars, regions_of_headers
from .messages import NOTICE
from .options import OUTPUTS, config_of, fixed_by, program_version
from .outputs import RegionReport, c_files, star_files
from .storage import written_range

__all__ = ['run']

log = logging.getLogger(__name__)


def run(args, command):
    """Read the images, subtract them, write what was asked for.

    Parameters
    ----------
    args : argparse.Namespace
        From `~hotpants_cy.cli.options.parse`.
    command : str
        The command line, for the header.

    Raises
    ------
    HotpantsError
        Anything that went wrong; nothing was written then.
    """
    log.info('hotpants_cy %s: %s - %s = %s', program_version(), args.inim, args.tmplim, args.outim)
    outputs = [path for path in (getattr(args, name) for name in OUTPUTS) if path]
    check_writable(outputs, overwrite=not args.nc)
    config = config_of(args)
    pair = read_pair(args, config.parity)
    try:
        config, table = completed(config, args, pair)
    except ValueError as error:                      # what stands in a file is as bad as what stands on the line
        raise InputError(str(error)) from error
    stars = read_stars(args.cmp or args.ssf, skip_first=bool(args.cmp)) if args.cmp or args.ssf else None
    around = {'stars': args.stars, 'avoid': args.avoid, 'n_threads': args.threads}
    if args.auto:
        from ..subtraction import automatic  # and all that measures stars
        hot = automatic(pair.science, pair.template, **around, **fixed_by(args, config))
    else:
        hot = Hotpants(pair.template, pair.science, config=config, star_catalog=stars, **around)
    if args.auto or args.measure_noise:
        from ..subtraction import with_measured_noise
        hot = with_measured_noise(hot)
        config = hot.config
        args.n = config.normalize
    if config.parity and (args.oci or args.cim):
        hot.convolved_is_written(*written_range(args))
    if table is not None:
        hot.adopt_kernels(table)
    hot.keep_convolved = bool(args.oci or args.cim)
    hot.assemble('difference')
    files = c_files(args, config, command, pair.header, planes_of(hot, args, pair.shape), reports_of(hot),
                    frame_cards({run.region.index: run.fit.model for run in hot.live_regions}, hot.science.shape),
                    [(keyword, *card) for keyword, card in noise_cards(hot.regions).items()])
    if args.savexy:
        files |= {path: TextFile(text) for path, text in stars_of(hot, args.savexy).items()}
    result = None
    if args.score or args.whiten or args.candidates or args.report:
        from ..subtraction import SubtractionResult
        result = SubtractionResult.of(hot)
        files |= sources_of(result, args)
    verdict = verdict_of(hot, result) if args.auto else ''     # before anything is written
    write_whole(files, overwrite=not args.nc)
    report(hot, args.ki, pair.notes, verdict, list(files))


def sources_of(result, args):
    """Files about the sources in the difference, and about how good it is."""
    from io import StringIO

    files = {path: getattr(result, name).to_hdu()
             for name, path in (('score', args.score), ('whitened', args.whiten)) if path}
    if args.candidates:
        text = StringIO()
        result.find_candidates().write(text, format='ascii.ecsv')
        files[args.candidates] = TextFile(text.getvalue())
    if args.report:
        from ..inspection.report import page
        files[args.report] = TextFile(page(result).encode('ascii', 'xmlcharrefreplace').decode('ascii'))
    return files


def report(hot, kernel_file, notes, verdict, paths):
    """Say in a few lines what was done."""
    for note in notes:
        log.log(NOTICE, '%s', note)
    for run in hot.live_regions:
        scatter, noise = run.statistics['DSIGE'], run.statistics['DSIG']
        log.log(NOTICE, 'region %s: %s convolved, kernel sum %.4f, %s, scatter over noise %.3f',
                run.region.section, 'template' if run.direction == 't' else 'science image', run.statistics['KSUM'],
                f'kernel from {kernel_file}' if kernel_file else
                f'{run.fit.n_used} of {counted(run.fit.n_stamps, "stamp")} used',
                scatter / noise if noise else math.nan)
    if verdict:
        log.log(NOTICE, 'verdict: %s', verdict)
    log.log(NOTICE, 'wrote %s', ', '.join(paths))


def verdict_of(hot, result=None):
    """How good the difference is, and the worst reason for it, in one line."""
    from ..inspection.quality import measure_quality
    quality = measure_quality(hot) if result is None else result.quality
    first, *others = quality.reasons or ('no measure is out of its range',)
    more = f' (and {counted(len(others), "other reason")}: see --report)' if others else ''
    return f'{quality.verdict}; {first}{more}'


def completed(config, args, pair):
    """Configuration with what stands in files and headers, and the kernel table to use, if any."""
    table = None
    if args.pca:
        config = config.replace(basis_images=basis_images(args.pca[1:]))
    if args.rf:
        config = config.replace(region_list=read_regions(args.rf))
    if args.rkw:
        headers = pair.template_header, pair.header
        config = config.replace(region_list=regions_of_headers(*args.rkw, headers, pair.science.shape))
    if args.ki:
        table = read_table(args.ki)
        if table.pictures is not None or any(region.section is None for region in table.regions):
            raise InputError(f'{args.ki} is no kernel table of Gaussians with a section for each region')
        if table.width != config.kernel_width and '-r' in args.given:
            log.warning('warning: %s has a kernel %d pixels wide, and -r asks for %d', args.ki, table.width,
                        config.kernel_width)
        elif table.width != config.kernel_width:
            log.warning('warning: taking the width of the kernel from %s, %d pixels', args.ki, table.width)
            config = config.replace(rkernel=table.width // 2, rss=max(config.rss, table.width // 2))
        config = config.replace(ko=table.ko, bgo=table.bgo, deg_fixe=table.degrees, sigma_gauss=table.sigmas,
                                normalize=table.normalize, region_list=[region.section for region in table.regions])
    return config, table


def basis_images(paths):
    """Basis images of ``-pca``, square and all of one odd size."""
    images = [read_plane(path)[0] for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape or image.shape[0] != image.shape[1] or image.shape[0] % 2 == 0:
            raise InputError(f'{path} has {image.shape[1]} x {image.shape[0]} pixels: basis images must be square, '
                             f'odd, and all as large as the first, {images[0].shape[1]} x {images[0].shape[0]}')
    return images


def planes_of(hot, args, shape):
    """Planes to write, padded with zeros to the larger of the two images where their sizes differ (spec 2.1)."""
    difference, noise = hot.assemble('difference'), hot.assemble('noise')
    planes = {'diff': difference, 'noise': noise, 'mask': hot.assemble('flags')}
    if args.oci or args.cim:
        planes['convolved'] = hot.assemble('convolved')
    if args.ond or args.ndm:
        planes['sigma'] = sigma_image(difference, noise, hot)
    if shape != difference.shape:
        (ny, nx), outside = difference.shape, {'mask': 0x8000}
        for name, plane in planes.items():
            planes[name] = np.full(shape, outside.get(name, 0), plane.dtype)
            planes[name][:ny, :nx] = plane
    return planes


def sigma_image(difference, noise, hot):
    """Difference over its noise, and the fill value where there is no difference (spec 8.5)."""
    fill = np.float32(hot.config.fillval)
    out = np.full_like(difference, fill)
    with np.errstate(divide='ignore', invalid='ignore'):
        np.divide(difference, noise, out=out, where=difference != fill)
    return out


def reports_of(hot):
    """What headers and kernel table say about each region."""
    reports = []
    for run in hot.regions:
        r = run.region
        section = r.x0 + 1, r.x1 + 1, r.y0 + 1, r.y1 + 1
        if run.error is not None:
            reports.append(RegionReport(r.index, section, 'NONE', {}, np.zeros(0), str(run.error)))
            continue
        reports.append(RegionReport(r.index, section, 'TEMPLATE' if run.direction == 't' else 'IMAGE', run.statistics,
                                    c_column(run.fit.model)))
    return reports


def stars_of(hot, path):
    """Texts of the region files of all regions, one after the other."""
    texts = {}
    for run in hot.live_regions:
        stamps = run.sides[run.direction].stamps if run.direction in run.sides else []
        lists = [([(s.x, s.y) for s in stamp.substamps], stamp.current) for stamp in stamps]
        # C counts one too many when it convolves the science image (spec 8.9)
        offset = 2 if hot.config.parity and run.direction == 'i' else 1
        for name, text in star_files(path, lists, hot.config.substamp_width, offset).items():
            texts[name] = texts.get(name, '') + text
    return texts
