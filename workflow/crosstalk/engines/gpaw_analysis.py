"""What a converged GPAW calculation is asked for: levels against the vacuum, profiles, charge transfer."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.record import Gate

if TYPE_CHECKING:
    from ase import Atoms

#: A plateau of the potential steeper than this is no vacuum; eV per Angstrom.
FLAT = 0.02
#: Where a plateau is looked at: this far from the end of the cell (which holds the dipole layer), Angstrom.
PLATEAU = (1.5, 3.0)
#: Vacuum below a slab from which on its lower side is held to a flat plateau too, Angstrom. Adsorption boxes have less
#: there: nobody asks for the lower work function of those.
CLEARANCE = 6.0
#: A density of free atoms below this is no density; electrons per cubic bohr.
NO_DENSITY = 1e-12


# -- levels against the vacuum -----------------------------------------------------------------------------------


def levels(calc: Any, slab: "Atoms", dipole_correction: bool) -> tuple[dict[str, float], list[Gate]]:
    """Work functions of both sides, Fermi level and band edges against the upper vacuum, and how flat the plateaus are.

    Where bands overlap, both edges are the Fermi level. Without a dipole layer both sides share one vacuum.
    """
    fermi = float(calc.get_fermi_level())
    heights, potential = potential_profile(calc)
    cell_height = float(slab.cell[2, 2])
    mean, slope = plateau(heights, potential, cell_height - PLATEAU[1], cell_height - PLATEAU[0])
    _, slope_below = plateau(heights, potential, *PLATEAU)
    if dipole_correction:
        upper, lower = (float(w) for w in calc.dft.workfunctions())
    else:
        upper = lower = mean - fermi
    vacuum = fermi + upper
    homo, lumo = (float(x) for x in calc.get_homo_lumo())
    if lumo <= homo:
        homo = lumo = fermi
    quantities = {
        "fermi_ev": -upper,
        "work_function_ev": upper,
        "work_function_bottom_ev": lower,
        "vbm_ev": homo - vacuum,
        "cbm_ev": lumo - vacuum,
        "gap_ev": lumo - homo,
        "vacuum_slope_ev_per_angstrom": slope,
        "vacuum_slope_bottom_ev_per_angstrom": slope_below,
    }
    gates = [Gate("vacuum_flat", abs(slope) <= FLAT, round(slope, 6), FLAT, "eV/Angstrom")]
    if (slab.get_tags() == 0).all() and slab.positions[:, 2].min() >= CLEARANCE:
        below = abs(slope_below) <= FLAT
        gates.append(Gate("vacuum_flat_bottom", below, round(slope_below, 6), FLAT, "eV/Angstrom"))
    return quantities, gates


def plateau(heights: np.ndarray, potential: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Mean (eV) and slope (eV/Angstrom) of a potential between two heights (Angstrom)."""
    window = (heights >= low) & (heights <= high)
    return float(potential[window].mean()), float(np.polyfit(heights[window], potential[window], 1)[0])


def potential_profile(calc: Any) -> tuple[np.ndarray, np.ndarray]:
    """Heights from the bottom of the cell (Angstrom) and the electrostatic potential averaged over the plane (eV)."""
    potential = calc.get_electrostatic_potential().mean(axis=(0, 1))
    height = float(calc.atoms.cell[2, 2])
    return np.arange(len(potential)) * height / len(potential), potential


def profiles(calc: Any, atoms: "Atoms") -> dict[str, Any]:
    """Averages over the plane against the height (Angstrom): electrons per Angstrom and, with a slab, the potential (eV).

    The density is the smooth one with compensation charges. The potential is against the upper vacuum. Where the slab ends
    and an adsorbate lies is told by their outermost nuclei.
    """
    heights, potential = potential_profile(calc)
    density = calc.dft.densities().pseudo_densities().to_pbc_grid().gather(broadcast=True)
    smooth = density.data.sum(axis=(0, 1, 2)) * density.desc.dv
    spacing = float(atoms.cell[2, 2]) / len(smooth)
    places = np.arange(len(smooth)) * spacing
    found: dict[str, Any] = {"profile_heights_angstrom": places, "profile_electrons_per_angstrom": smooth / spacing}
    z, tags = atoms.positions[:, 2], atoms.get_tags()
    if (tags == 0).any():
        end = float(atoms.cell[2, 2])
        vacuum, _ = plateau(heights, potential, end - PLATEAU[1], end - PLATEAU[0])
        found["profile_potential_ev"] = np.interp(places, heights, potential) - vacuum
        found["slab_extent_angstrom"] = [z[tags == 0].min(), z[tags == 0].max()]
    if (tags == 1).any():
        found["adsorbate_extent_angstrom"] = [z[tags == 1].min(), z[tags == 1].max()]
    return found


# -- spins -------------------------------------------------------------------------------------------------------


def magnetisation(calc: Any) -> dict[str, float]:
    """Integrals over the cell of the spin density and of its absolute value, Bohr magnetons.

    The density is the smooth one with compensation charges: its integral is the true one, its absolute value is so outside the
    atomic spheres and wherever the spin keeps its sign inside one.
    """
    found = calc.dft.densities().pseudo_densities().to_pbc_grid().gather(broadcast=True)
    spin = found.data[0] - found.data[1]
    cell = {"magnetisation_mub": spin.sum(), "absolute_magnetisation_mub": np.abs(spin).sum()}
    return {name: float(total * found.desc.dv) for name, total in cell.items()}


# -- charge transfer ---------------------------------------------------------------------------------------------


def adsorbate_charge(calc: Any) -> float:
    """Hirshfeld charge of the atoms with tag 1, in e; positive: electrons went to the slab.

    Valence electrons of the atoms minus those that their share of the density holds, the share being that of their free
    atoms in the sum of all free atoms (Hirshfeld, Theor. Chim. Acta 1977, 44, 129). The density is the smooth one with
    compensation charges, which has the charge of the true one around each atom and differs from it inside the atomic
    spheres only, where no share is in doubt. (GPAW's own partitioning needs its old code.)
    """
    from gpaw.new.density import atomic_occupation_numbers

    builder = calc.params.dft_component_builder(calc.atoms, log=calc.log)
    basis = builder.create_basis_set()
    occupations = {
        a: atomic_occupation_numbers(setup, moment, builder.ncomponents, builder.params.hund, 0.0)
        for a, (setup, moment) in enumerate(zip(builder.setups, builder.initial_magmom_av, strict=True))
    }

    def free_atoms(chosen: np.ndarray) -> np.ndarray:
        density = builder.grid.zeros(builder.ncomponents)
        basis.add_to_density(density.data, {a: f * float(chosen[a]) for a, f in occupations.items()})
        return np.asarray(density.to_pbc_grid().gather(broadcast=True).data.sum(axis=0))

    mine = calc.atoms.get_tags() == 1
    every = free_atoms(np.ones(len(mine)))
    share = np.divide(free_atoms(mine), every, out=np.zeros_like(every), where=every > NO_DENSITY)
    found = calc.dft.densities().pseudo_densities().gather(broadcast=True)
    electrons = float((share * found.data.sum(axis=0)).sum() * found.desc.dv)
    return float(sum(setup.Nv for setup, its in zip(builder.setups, mine, strict=True) if its)) - electrons
