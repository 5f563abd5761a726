"""Frustrated translations and rotations: laws on springs and on EMT, a real field for one atom."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, fcc111, molecule
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from crosstalk.engines import gpaw_modes
from crosstalk.record import Outcome
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.units import FORCE_CONSTANT_CM1

from .test_gpaw import GRAPHENE, LEVEL


def test_motions_move_masses_and_strain_nothing():
    water = molecule("H2O")
    masses = water.get_masses()
    motions = gpaw_modes.displacements(water.positions, masses)
    weighted = (motions * np.sqrt(masses)[:, None]).reshape(6, 9)
    assert weighted @ weighted.T == pytest.approx(np.eye(6), abs=1e-10)
    for motion in motions:
        moved = water.copy()
        moved.positions += 1e-4 * motion
        assert moved.get_all_distances() == pytest.approx(water.get_all_distances(), abs=1e-7)
    assert len(gpaw_modes.displacements(np.zeros((1, 3)), np.ones(1))) == 3


def test_a_body_on_a_spring_vibrates_with_all_its_mass():
    water = molecule("H2O")
    masses, stiffness = water.get_masses(), 2.0
    motions = gpaw_modes.displacements(water.positions, masses)

    def force(step: np.ndarray) -> np.ndarray:
        """A spring between the centre of mass and a wall, along z."""
        forces = np.zeros((3, 3))
        forces[:, 2] = -stiffness * (masses @ step[:, 2] / masses.sum()) * masses / masses.sum()
        return forces

    steps = [sign * gpaw_modes.length(motion) * motion for motion in motions for sign in (1, -1)]
    found = gpaw_modes.wavenumbers(motions, [force(step) for step in steps])
    assert found[-1] == pytest.approx(np.sqrt(stiffness / masses.sum()) * FORCE_CONSTANT_CM1, rel=1e-6)
    assert np.abs(found[:-1]).max() < 1e-3


@pytest.fixture(scope="module")
def pose() -> Atoms:
    """A dimer where EMT holds it on two frozen layers of copper."""
    slab = fcc111("Cu", (2, 2, 2), a=3.65, vacuum=8.0)
    slab.set_tags(0)
    add_adsorbate(slab, Atoms("Ag2", [[0, 0, 0], [0.3, 2.5, 0.4]], tags=[1, 1]), 2.1, "bridge")
    slab.calc = EMT()
    BFGS(slab, logfile=None).run(fmax=1e-3, steps=300)
    slab.calc = None
    return slab


def vibrations(pose: Atoms, path: Path) -> tuple[list[float], int]:
    mine = np.flatnonzero(pose.get_tags() == 1)
    motions = gpaw_modes.displacements(pose.positions[mine], pose.get_masses()[mine])
    calls = []

    class Counted(EMT):
        def calculate(self, *args, **options):
            calls.append(1)
            super().calculate(*args, **options)

    return gpaw_modes.wavenumbers(motions, gpaw_modes._forces(pose, mine, motions, Counted(), path)), len(calls)


def test_a_minimum_has_five_real_modes_of_a_dimer_and_a_kill_costs_one_force(pose, tmp_path):
    path = tmp_path / "forces.jsonl"
    found, calls = vibrations(pose, path)
    assert len(found) == 5 and calls == 10
    assert min(found) > 0
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:7]))
    again, calls = vibrations(pose, path)
    assert calls == 3 and again == pytest.approx(found)


def test_an_atom_on_graphene_with_a_real_field(tmp_path):
    sheet = GRAPHENE.copy()
    sheet.set_tags(0)
    helium = Atoms("He", [sheet.positions.mean(axis=0) + np.array([0, 0, 2.4])], tags=[1])
    both = sheet + helium
    both.cell[2, 2] += 1.0
    alone = Atoms("He", helium.positions, cell=both.cell, pbc=both.pbc, tags=[1])
    level = LEVEL | {"kpoint_spacing_per_angstrom": None, "dispersion": "d3bj"}
    spec = Spec("surface_modes", "gpaw", {"level": level, "index": 0}, {"geometry": "0", "molecule": "1"}, 1)
    inputs = {"geometry": Input(None, [both]), "molecule": Input(None, [sheet, alone, both])}
    found = gpaw_modes.surface_modes(spec, inputs, tmp_path)
    assert isinstance(found, Outcome)
    modes = found.quantities["frequencies_cm1"]
    assert len(modes) == 3
    assert modes[-1] > 30, "nearer than it wants to be: stiff along the normal"
    assert found.quantities["mass_amu"] == pytest.approx(4.0026, abs=1e-3)
    assert [gate.name for gate in found.gates] == ["scf_converged", "true_minimum"]
