"""A CUDA device gives what the processor gives. Where there is none, its way through the ladder is tried without it."""

import numpy as np
import pytest
from ase.build import molecule

from crosstalk.engines import device
from crosstalk.engines import pyscf_relax as relaxation
from crosstalk.units import HARTREE_EV

from .test_pyscf import PCM, settings_of

#: What the two must agree within: energy eV (1e-6 hartree), gradient eV/Angstrom.
SAME_ENERGY, SAME_GRADIENT = 1e-6 * HARTREE_EV, 1e-3
WATER = molecule("H2O")


def point(folder, monkeypatch, on_device, level=None, **settings):
    folder.mkdir()
    monkeypatch.setattr(device, "available", lambda: on_device)
    surface = relaxation.Surface(settings_of(level, **settings), WATER, folder)
    found = surface.at(WATER.positions.copy())
    return found, surface.last()[1], (folder / "scf.json").read_text() if (folder / "scf.json").exists() else ""


CASES = {
    "hybrid": ({}, {}),
    "cation": ({}, {"charge": 1, "multiplicity": 2}),
    "vv10": ({"functional": "wb97m-v", "dispersion": None, "basis": "def2-svpd"}, {}),
    "continuum": ({}, {"environment": PCM}),
}


@pytest.mark.skipif(not device.available(), reason="needs a CUDA device and gpu4pyscf")
@pytest.mark.parametrize("case", CASES)
def test_device_and_processor_agree(tmp_path, monkeypatch, case):
    level, settings = CASES[case]
    here, mf, _ = point(tmp_path / "cpu", monkeypatch, False, level, **settings)
    there, gpu, rungs = point(tmp_path / "gpu", monkeypatch, True, level, **settings)
    assert abs(here.energy - there.energy) < SAME_ENERGY
    assert abs(here.gradient - there.gradient).max() < SAME_GRADIENT
    assert np.allclose(mf.mo_energy, gpu.mo_energy, atol=1e-4)
    assert device.RUNG in rungs


@pytest.mark.parametrize("case", ["hybrid", "cation", "continuum"])
def test_the_way_over_the_device_leads_to_the_same_numbers(tmp_path, monkeypatch, case):
    """With a device that is the processor: conversions change nothing, the two-grid cycles are left out."""
    level, settings = CASES[case]
    here, _, _ = point(tmp_path / "cpu", monkeypatch, False, level, **settings)
    monkeypatch.setattr(device, "_converted", lambda mf: mf)
    monkeypatch.setattr(device, "_array", np.asarray)
    there, _, rungs = point(tmp_path / "gpu", monkeypatch, True, level, **settings)
    assert abs(here.energy - there.energy) < SAME_ENERGY
    assert abs(here.gradient - there.gradient).max() < SAME_GRADIENT
    assert device.RUNG in rungs


def test_a_device_can_be_declined(monkeypatch):
    monkeypatch.setenv("CROSSTALK_DEVICE", "cpu")
    device.available.cache_clear()
    assert not device.available()
    device.available.cache_clear()
