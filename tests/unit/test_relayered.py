"""A relaxed slab with another number of layers between its surfaces."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from crosstalk.config import load
from crosstalk.config.structures import slab_settings
from crosstalk.errors import PhysicsFailure
from crosstalk.structures import relayered, slabs, transplants


def cut(count, name="sio-hydrogenated-2"):
    settings = slab_settings(load(Path("config")), load(Path("config")).surfaces[name])
    kept = {key: value for key, value in settings.items() if key not in ("rattle_angstrom", "dehydroxylation")}
    return slabs.build({**kept, "layers": count})


def settled():
    """Two layers whose surfaces have moved, each in its own way and least in the middle, and which have drifted."""
    own = cut(2)
    z = own.positions[:, 2]
    height = (z - z.min()) / np.ptp(z)
    relaxed = own.copy()
    random = np.random.default_rng(3).normal(size=own.positions.shape)
    relaxed.positions += 0.06 * (2 * np.abs(height - 0.5))[:, None] * random + [0.3, -0.2, 0.4]
    return own, relaxed


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_relaxed_slab_gets_other_layers_between_its_surfaces(count):
    own, relaxed = settled()
    other = cut(count)
    found = relayered.relayered(relaxed, own, other)
    assert found.get_chemical_formula() == other.get_chemical_formula()
    assert transplants.offset(relaxed, found) is not None
    for upper in (True, False):
        sides = [atoms if upper else relayered._upside_down(atoms) for atoms in (relaxed, found)]
        vector = transplants.offset(*sides)
        top = sides[0][sides[0].positions[:, 2] > sides[0].positions[:, 2].mean() + 0.5]
        assert transplants._misfit(top.positions + vector, list(top.symbols), sides[1]) < 0.02, "the relaxed surface"
    moved = found.positions - other.positions
    middle = np.abs(other.positions[:, 2] - other.positions[:, 2].mean()) < 1.5
    shortest = transplants.shortest(moved[middle] - np.median(moved, axis=0), other.cell.array)[0]
    assert shortest.max() < 0.2, "the middle is the crystal"
    assert relayered.coordinations(found) == relayered.coordinations(other)
    held, z = slabs.frozen(found, 0.0), found.positions[:, 2]
    assert len(held) == len(own) // 2 and sorted(z)[-len(held) :] == sorted(z[held]), "the upper half stays"
    below = slabs.frozen(found, 0.2)
    assert set(below) > set(held) and z.argmin() in below


def test_with_its_own_number_of_layers_it_is_the_relaxed_slab():
    own, relaxed = settled()
    found = relayered.relayered(relaxed, own, own)
    apart = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (found, relaxed)]
    assert apart[0] == pytest.approx(apart[1], abs=0.1) and found.get_chemical_formula() == own.get_chemical_formula()


def test_atoms_that_were_put_in_stay_with_their_surface():
    own, relaxed = settled()
    top = relaxed.positions[relaxed.positions[:, 2].argmax()]
    found = relayered.relayered(relaxed + Atoms("Li", [top + np.array([0.5, 0.5, 1.8])]), own, cut(3))
    (lithium,) = np.flatnonzero(np.array(found.symbols) == "Li")
    assert found.positions[:, 2].argmax() == lithium


def test_a_slab_without_a_crystalline_middle_is_not_continued():
    own, relaxed = settled()
    silicon = np.flatnonzero(np.array(relaxed.symbols) == "Si")
    inner = silicon[np.abs(relaxed.positions[silicon, 2] - relaxed.positions[:, 2].mean()).argsort()[:4]]
    relaxed.positions[inner] += [1.6, 0.9, 0.0]
    with pytest.raises(
        PhysicsFailure, match=r"layers cannot be put into or taken out of the relaxed slab: .* neighbours"
    ):
        relayered.relayered(relaxed, own, cut(3))
