"""Large kernels are applied by FFT, and nothing but the time tells."""

import numpy as np
import pytest

from hotpants_cy.inputs.noise import NoiseModel
from hotpants_cy.kernel import fourier
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import RegionFrame

SHAPE = 93, 110


def model_of(step, half=6):
    basis = GaussianBasis(half, (2, 0), (1.2, 3.0))
    solution = np.random.default_rng(1).normal(0, 0.05, 1 + (len(basis) - 1) * 3 + 1)
    return KernelModel(np.array([0.9, *solution[1:]]), basis, 1, 0, RegionFrame((0, 0), SHAPE), 't', step)


def planes(model, monkeypatch, taps, **options):
    monkeypatch.setattr(fourier, 'taps_per_point', lambda: taps)
    rng = np.random.default_rng(2)
    data = rng.normal(300, 15, SHAPE).astype('f4')
    data[40:43, 50:53] = 40000
    flags = np.where(rng.random(SHAPE) < 0.01, 0x80, 0).astype('i4')
    return model.convolve_planes(data, flags=flags, noise=NoiseModel(1.5, 4), fill=-1, **options)


@pytest.mark.parametrize('step', [13, 20, 5, 200])
@pytest.mark.parametrize('plain', [False, True])
def test_planes_are_those_of_the_sums(step, plain, monkeypatch):
    model = model_of(step)
    by_sums = planes(model, monkeypatch, np.inf, plain_variance=plain)
    by_fft = planes(model, monkeypatch, 0, plain_variance=plain)
    np.testing.assert_allclose(by_fft[0], by_sums[0], rtol=3e-7, atol=1e-3)
    np.testing.assert_allclose(by_fft[1], by_sums[1], rtol=3e-6, atol=1e-3)
    np.testing.assert_array_equal(by_fft[2], by_sums[2])


def test_threads_change_no_bit(monkeypatch):
    one, two = (planes(model_of(13), monkeypatch, 0, n_threads=n) for n in (1, 2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))


def test_only_large_kernels_go_by_fft():
    data = np.random.default_rng(3).normal(0, 1, (200, 200)).astype('f4')
    assert not fourier.fft_is_faster(data, 21, 21)
    assert not fourier.fft_is_faster(data, 101, 1)
    assert fourier.fft_is_faster(data, 141, 141)


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e12])
def test_a_pixel_whose_rounding_would_show_forbids_the_fft(value):
    data = np.random.default_rng(3).normal(0, 1, (200, 200)).astype('f4')
    data[100, 100] = value
    assert not fourier.fft_is_faster(data, 141, 141)
