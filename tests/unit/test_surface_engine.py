"""What the surface engine does around GPAW, without an SCF: the ladder, parts of a pose, what became of a structure."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from crosstalk.engines import gpaw, gpaw_analysis, gpaw_relax
from crosstalk.errors import PhysicsFailure
from crosstalk.record import Gate
from crosstalk.structures import slabs

LEVEL = {
    "mode": "pw", "cutoff_ev": 300.0, "functional": "PBE", "kpoint_spacing_per_angstrom": None, "smearing_ev": 0.05, "basis": None,
    "energy_tolerance_ev": 1e-4, "density_tolerance": 1e-4, "max_iterations": 50, "dipole_correction": True, "grid_spacing_angstrom": 0.2,
}  # fmt: skip
LOCAL = LEVEL | {"mode": "lcao", "basis": "dzp"}


class NotConverged(Exception):
    """Stands for GPAW's own, whose import takes seconds."""


@pytest.fixture(autouse=True)
def failures(monkeypatch):
    monkeypatch.setattr(gpaw, "_failures", lambda: (NotConverged, np.linalg.LinAlgError))


def failing(*rungs, error=NotConverged):
    def attempt(rung):
        if rung in rungs:
            raise error
        return f"by {rung}"

    return attempt


def posed():
    slab = slabs.in_box(slabs.graphite_basal(2.46, 3.35, 1), 16.0).repeat((3, 3, 1))
    slab.set_tags(0)
    water = molecule("H2O")
    water.positions += slab.positions.mean(axis=0) + np.array([0, 0, 3.2])
    water.set_tags(1)
    return slab + water


# -- the ladder --------------------------------------------------------------------------------------------------------


def test_the_ladder_stops_at_the_first_rung_that_works_and_records_the_way():
    assert gpaw.climb(failing(), "pw") == ("by default", ["default"])
    found, rungs = gpaw.climb(failing("default", "soft_mixing"), "pw")
    assert found == "by more_smearing" and rungs == ["default", "soft_mixing", "more_smearing"]


def test_an_eigensolver_that_breaks_down_is_a_failure_of_physics():
    first = ("default", "soft_mixing", "more_smearing")
    assert gpaw.climb(failing(*first, error=np.linalg.LinAlgError), "pw")[1][-1] == "davidson"
    with pytest.raises(PhysicsFailure, match=r"default, soft_mixing, more_smearing$"):
        gpaw.climb(failing(*first), "lcao")  # one diagonalisation: there is no other eigensolver


def test_a_broken_program_is_no_rung():
    with pytest.raises(ZeroDivisionError):
        gpaw.climb(failing("default", error=ZeroDivisionError), "pw")


def test_rungs_change_the_way_and_never_the_goal():
    atoms, ways = posed(), {"mixer", "eigensolver"}
    start = gpaw.parameters(atoms, LEVEL)
    for rung in gpaw.RUNGS:
        other = gpaw.parameters(atoms, LEVEL, rung)
        assert {key for key in start if start[key] != other[key]} <= ways
    assert gpaw.parameters(atoms, LOCAL, "soft_mixing")["eigensolver"] == {"name": "lcao"}
    assert len({str([gpaw.parameters(atoms, LEVEL, rung)[way] for way in sorted(ways)]) for rung in gpaw.RUNGS}) == len(
        gpaw.RUNGS
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def test_parts_make_the_whole():
    whole = posed()
    slab, molecule_alone = (gpaw.part(whole, which, False)[0] for which in ("slab", "molecule"))
    assert len(slab) + len(molecule_alone) == len(whole) == len(gpaw.part(whole, None, False)[0])
    assert np.array_equal(np.concatenate([slab.positions, molecule_alone.positions]), whole.positions)
    assert (slab.cell == whole.cell).all() and (molecule_alone.cell == whole.cell).all()


def test_ghosts_are_the_atoms_of_the_other_part():
    whole = posed()
    for which, tag in (("slab", 1), ("molecule", 0)):
        atoms, ghosts = gpaw.part(whole, which, True)
        assert len(atoms) == len(whole) and (whole.get_tags()[ghosts] == tag).all()
        assert len(ghosts) == int((whole.get_tags() == tag).sum())
        assert gpaw.parameters(atoms, LOCAL, ghosts=ghosts)["setups"] == dict.fromkeys(ghosts, "ghost")
    assert "setups" not in gpaw.parameters(whole, LOCAL)


# -- what became of it -------------------------------------------------------------------------------------------------


def test_a_slab_with_atoms_put_into_it_may_change_its_bonds_and_says_so():
    built = posed()[posed().get_tags() == 0]
    torn = built.copy()
    torn.positions[4] += [0, 0, 2.0]
    text, gates = slabs.bonds_kept(built, torn, {"builder": "file"})
    assert "broken" in text and gates == []
    assert slabs.bonds_kept(built, built, {"builder": "file"}) == ("", [])
    inserted = {"builder": "file", "insertion": {"element": "Li"}}
    assert slabs.bonds_kept(built, torn, inserted) == ("", [Gate("bonds_kept", False, text)])
    assert slabs.bonds_kept(built, built, inserted) == ("", [Gate("bonds_kept", True, "all")])


def test_references_are_held_to_their_bonds_like_poses():
    whole = posed()
    assert gpaw_relax.became(whole, whole) == ("ok", "")
    slab, water = whole[whole.get_tags() == 0], whole[whole.get_tags() == 1]
    assert gpaw_relax.became(slab, slab) == gpaw_relax.became(water, water) == ("ok", "")
    torn = slab.copy()
    torn.positions[4] += [0, 0, 2.0]
    assert gpaw_relax.became(slab, torn)[0] == "surface_changed"
    open_water = water.copy()
    open_water.positions[1] += [0, 3.0, 0]
    assert gpaw_relax.became(water, open_water)[0] == "dissociated"
    left = whole.copy()
    left.positions[whole.get_tags() == 1] += [0, 0, 4.0]
    assert gpaw_relax.became(whole, left)[0] == "desorbed"


# -- plateaus ----------------------------------------------------------------------------------------------------------


class Solved:
    """A calculation whose potential is known: flat above, with a slope below."""

    def __init__(self, slab: Atoms, below: float):
        self.atoms = slab
        z = np.arange(200) * slab.cell[2, 2] / 200
        self.potential = np.where(z > slab.cell[2, 2] / 2, 5.0, below * z)

    def get_fermi_level(self):
        return 0.5

    def get_homo_lumo(self):
        return 0.0, 1.0

    def get_electrostatic_potential(self):
        return np.broadcast_to(self.potential, (2, 2, 200))


@pytest.mark.parametrize(
    ("slope", "vacuum", "gates"), [(0.0, 8.0, [True, True]), (0.1, 8.0, [True, False]), (0.1, 5.0, [True])]
)
def test_both_plateaus_are_gates_where_there_is_room_for_them(slope, vacuum, gates):
    slab = slabs.in_box(slabs.graphite_basal(2.46, 3.35, 1), vacuum)
    slab.center(axis=2)
    found, passed = gpaw_analysis.levels(Solved(slab, slope), slab, dipole_correction=False)
    assert [gate.passed for gate in passed] == gates
    assert found["vacuum_slope_bottom_ev_per_angstrom"] == pytest.approx(slope)
    assert found["work_function_ev"] == pytest.approx(4.5)
    assert found["vbm_ev"] == pytest.approx(-5.0) and found["cbm_ev"] == pytest.approx(-4.0)
