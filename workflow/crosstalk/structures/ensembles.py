"""Geometries that need no engine: those given, and relaxed conformers gathered into an ensemble."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ase import Atoms

from crosstalk.record import Gate, Outcome
from crosstalk.structures import conformers

if TYPE_CHECKING:
    from crosstalk.spec import Spec
    from crosstalk.steps import Input

#: Relaxed conformers nearer in energy (eV) and shape (Angstrom) than this became one.
SAME_ENERGY_EV = 0.003
SAME_RMSD = 0.125


def given(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `given`: the structure of a config entry, as it is."""
    species = spec.settings["species"]
    return Outcome(structures=[Atoms(species["symbols"], species["positions"])])


def ensemble(spec: "Spec", inputs: Mapping[str, "Input"], folder: Path) -> Outcome:
    """Step `ensemble`: relaxed conformers from the lowest up, those that became one counted once.

    Weights follow from the relaxed energies and the degeneracies that the search found, at 298.15 K.
    """
    every = sorted(inputs.items(), key=lambda item: int(item[0].split()[-1]))
    search = next(source for role, source in every if role.startswith("search"))
    relaxed = sorted(
        (source for role, source in every if role.startswith("relaxed")), key=lambda s: s.record.quantities["energy_ev"]
    )
    degeneracies = search.record.quantities.get("degeneracies", [])
    found: list[tuple[float, int, Atoms]] = []
    for source in relaxed:
        energy, atoms = source.record.quantities["energy_ev"], source.structures[0]
        if any(abs(energy - other) < SAME_ENERGY_EV and _alike(atoms, twin) for other, _, twin in found):
            continue
        index = source.record.spec.settings["index"]
        found.append((energy, degeneracies[index] if index < len(degeneracies) else 1, atoms))
    relative = [energy - found[0][0] for energy, _, _ in found]
    outcome = Outcome(structures=[atoms for _, _, atoms in found])
    outcome.gates = list(relaxed[0].record.gates) or [Gate("relaxed", True)]
    outcome.quantities = {
        "energy_ev": found[0][0], "relative_energies_ev": relative, "n_found": len(found),
        "degeneracies": [g for _, g, _ in found], "weights": conformers.weights(relative, [g for _, g, _ in found]),
    }  # fmt: skip
    return outcome


def _alike(first: Atoms, second: Atoms) -> bool:
    """Same shape or its mirror image, the atoms in the same order."""
    import numpy as np
    from scipy.spatial.transform import Rotation

    if len(first) == 1:
        return True
    one = first.positions - first.get_center_of_mass()
    two = second.positions - second.get_center_of_mass()
    errors = [Rotation.align_vectors(one, two * [sign, 1.0, 1.0])[1] for sign in (1.0, -1.0)]
    return bool(min(errors) / np.sqrt(len(first)) < SAME_RMSD)
