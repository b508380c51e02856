"""What takes long says how far it is; the parts change nothing."""

import logging

import numpy as np
import pytest

from hotpants_cy import progress
from hotpants_cy.kernel import blocks
from hotpants_cy.kernel import model as kernel_model
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.spatial import RegionFrame


@pytest.mark.parametrize('n', [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize('whole', [True, False])
def test_parts_cover_all_rows_in_order(n, whole):
    rows = [row for start, stop in progress.in_parts(n, 'x', whole) for row in range(start, stop)]
    assert rows == list(range(n))


def test_long_work_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(progress, 'SECONDS', 0)
    with caplog.at_level(logging.INFO, logger='hotpants_cy'):
        list(progress.in_parts(128, 'convolving', whole=False))
    assert caplog.messages[31] == 'convolving: 50 %'
    assert caplog.messages[-1] == 'convolving: 100 %'


def test_a_kernel_applied_in_parts_gives_the_same_bits(monkeypatch):
    basis = GaussianBasis(3, (2, 0), (0.8, 1.5))
    solution = np.random.default_rng(1).normal(0, 0.01, 1 + (len(basis) - 1) * 3 + 1)
    model = kernel_model.KernelModel(solution, basis, 1, 0, RegionFrame((0, 0), (700, 90)), 't', 7)
    image = np.random.default_rng(2).normal(100, 5, (700, 90))
    at_once = model.apply(image)
    monkeypatch.setattr(blocks, '_LONG', 0)
    assert model.apply(image).tobytes() == at_once.tobytes()
