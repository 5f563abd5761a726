"""Every quantity that a record or a table may hold, declared once: name, unit, shape, meaning, sign, digits.

A name carries its unit. `decimals` is the precision with which a record stores the number: far below what the physics
means, and above the noise of summation order, so that the same spec gives the same bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.errors import UnlikeError

if TYPE_CHECKING:
    from crosstalk.record import Record


@dataclass(frozen=True)
class Quantity:
    name: str
    unit: str
    meaning: str
    shape: tuple[str, ...] = ()
    decimals: int = 6


def _declare(*quantities: Quantity) -> dict[str, Quantity]:
    return {q.name: q for q in quantities}


QUANTITIES = _declare(
    # energies of one calculation
    Quantity("energy_ev", "eV", "total energy, dispersion and solvation included; zero is the engine's own"),
    Quantity("dispersion_ev", "eV", "dispersion correction, part of energy_ev; over real atoms only; <= 0"),
    Quantity("solvation_ev", "eV", "electrostatic polarisation energy of the continuum, part of energy_ev; <= 0"),
    Quantity(
        "basis_correction_ev", "eV", "geometrical counterpoise correction of a composite method, part of energy_ev"
    ),
    # molecules
    Quantity("homo_ev", "eV", "highest occupied Kohn-Sham eigenvalue (of both spins)"),
    Quantity("lumo_ev", "eV", "lowest unoccupied Kohn-Sham eigenvalue (of both spins); positive means unbound"),
    Quantity("gap_ev", "eV", "lumo_ev - homo_ev, or cbm_ev - vbm_ev; >= 0"),
    Quantity(
        "lumo_extent_angstrom",
        "Angstrom",
        "root mean square distance of the LUMO's density from the molecule's centroid",
        decimals=3,
    ),
    Quantity(
        "homo_outside",
        "",
        "share of the HOMO's density outside the van der Waals envelope (Bondi radii times 1.2)",
        decimals=3,
    ),
    Quantity(
        "lumo_outside",
        "",
        "the same of the LUMO: a valence orbital has most of it inside, a dipole-bound or continuum state outside",
        decimals=3,
    ),
    Quantity(
        "dipole_debye", "D", "magnitude of the electric dipole moment; for ions about the centre of mass", decimals=4
    ),
    Quantity("s_squared", "hbar^2", "expectation value of S^2 of the Kohn-Sham determinant", decimals=4),
    Quantity(
        "partner_spin",
        "hbar",
        "spin up minus spin down electrons on the atoms of a bound partner, by meta-Loewdin orbitals",
        decimals=3,
    ),
    Quantity("n_basis", "", "number of contracted basis functions", decimals=0),
    Quantity("n_steps", "", "geometry steps taken", decimals=0),
    Quantity("max_force_ev_per_angstrom", "eV/Angstrom", "largest force on an atom that is free to move", decimals=4),
    Quantity("n_starts", "", "starting structures tried", decimals=0),
    Quantity("n_found", "", "distinct minima found", decimals=0),
    Quantity("relative_energies_ev", "eV", "energies of the distinct minima above the lowest, ascending", ("n_found",)),
    Quantity(
        "weights", "", "Boltzmann weights of the distinct minima at 298.15 K (degeneracy included); sum 1", ("n_found",)
    ),
    Quantity(
        "degeneracies",
        "",
        "labelled minima of each shape, mirror images and rotamers alike, by their greatest common divisor: inverse order of the point group",
        ("n_found",),
        decimals=0,
    ),
    Quantity(
        "discovery",
        "",
        "how many of the distinct minima that a search ends with were known after start k; non-decreasing, ends at n_found",
        ("n_starts",),
        decimals=0,
    ),
    Quantity("n_reranked", "", "conformers whose energy was computed at the better level", decimals=0),
    Quantity("n_rejected", "", "starts whose relaxed structure lost its connectivity or did not converge", decimals=0),
    Quantity(
        "frequencies_cm1",
        "1/cm",
        "harmonic wavenumbers, ascending; imaginary ones negative; none for an atom",
        ("n_modes",),
        decimals=1,
    ),
    Quantity(
        "lowest_mode_cm1",
        "1/cm",
        "lowest harmonic wavenumber of a geometry whose others are not computed; imaginary negative",
        decimals=1,
    ),
    Quantity("n_products", "", "products of a Hessian with a vector, each one gradient", decimals=0),
    Quantity("n_imaginary", "", "imaginary modes that are no noise", decimals=0),
    Quantity(
        "inertia_amu_angstrom2",
        "amu Angstrom^2",
        "principal moments of inertia, ascending; 0 for an atom and along a linear molecule",
        ("3",),
        decimals=3,
    ),
    Quantity("symmetry_number", "", "rotational symmetry number", decimals=0),
    Quantity("mass_amu", "amu", "mass", decimals=4),
    # slabs
    Quantity("n_atoms", "", "number of atoms", decimals=0),
    Quantity("area_angstrom2", "Angstrom^2", "area of the surface cell", decimals=4),
    Quantity(
        "image_gap_angstrom",
        "Angstrom",
        "shortest distance between an atom of the adsorbate and one of its lateral image, lowest pose of the filter",
        decimals=3,
    ),
    Quantity("thickness_angstrom", "Angstrom", "height of the slab, lowest to highest nucleus", decimals=4),
    Quantity("oh_per_nm2", "1/nm^2", "hydroxyl groups on the upper side per area", decimals=3),
    Quantity("oh_bottom_per_nm2", "1/nm^2", "hydroxyl groups on the lower side per area", decimals=3),
    Quantity("bulk_density_g_cm3", "g/cm^3", "density of the crystal or glass that a slab was cut from", decimals=3),
    Quantity(
        "least_tetrahedral_order",
        "",
        "least tetrahedral order (Errington and Debenedetti) of a slab's atoms with four bonds; 1 for a tetrahedron",
        decimals=2,
    ),
    Quantity("fermi_ev", "eV", "Fermi level below the vacuum of the upper side (negative)", decimals=5),
    Quantity(
        "work_function_ev",
        "eV",
        "vacuum level minus Fermi level, upper side; for an insulator the mid-gap, and marked so",
        decimals=5,
    ),
    Quantity("work_function_bottom_ev", "eV", "the same for the lower side", decimals=5),
    Quantity(
        "magnetisation_mub",
        "Bohr magneton",
        "integral of the spin density over the cell: electrons of one spin minus those of the other",
        decimals=3,
    ),
    Quantity(
        "absolute_magnetisation_mub",
        "Bohr magneton",
        "integral of the absolute spin density over the cell; above zero where opposite moments cancel in the sum",
        decimals=3,
    ),
    Quantity("vbm_ev", "eV", "highest occupied level relative to the vacuum of the upper side", decimals=5),
    Quantity("cbm_ev", "eV", "lowest unoccupied level relative to the vacuum of the upper side", decimals=5),
    Quantity(
        "vacuum_slope_ev_per_angstrom",
        "eV/Angstrom",
        "slope of the potential in the vacuum: how far from flat the plateau is",
        decimals=6,
    ),
    Quantity("vacuum_slope_bottom_ev_per_angstrom", "eV/Angstrom", "the same below the slab", decimals=6),
    Quantity(
        "vacuum_step_ev",
        "eV",
        "vacuum level of the upper side minus that of the lower one: the slab's dipole; 0 for a symmetric slab",
        decimals=5,
    ),
    Quantity(
        "ensemble_contributions_ev",
        "eV",
        "terms of the BEEF-vdW energy whose coefficients its ensemble varies: 30 of exchange, LDA and PBE correlation",
        ("32",),
    ),
    Quantity(
        "functional_energies_ev",
        "eV",
        "energies with other functionals on the converged density, in the order of the setting `functionals`; no dispersion added",
        ("functionals",),
    ),
    # bulk crystals
    Quantity(
        "lattice_a_angstrom",
        "Angstrom",
        "length of the first vector of the crystal's cell, in the setting of its file",
        decimals=5,
    ),
    Quantity("lattice_b_angstrom", "Angstrom", "length of the second vector", decimals=5),
    Quantity("lattice_c_angstrom", "Angstrom", "length of the third vector", decimals=5),
    Quantity("lattice_alpha_deg", "deg", "angle between the second and third vector", decimals=3),
    Quantity("lattice_beta_deg", "deg", "angle between the first and third vector", decimals=3),
    Quantity("lattice_gamma_deg", "deg", "angle between the first and second vector", decimals=3),
    Quantity("formula_volume_angstrom3", "Angstrom^3", "volume of the crystal for each formula unit", decimals=4),
    Quantity(
        "interlayer_angstrom", "Angstrom", "mean distance of neighbouring layers of a layered crystal", decimals=5
    ),
    Quantity(
        "max_stress_ev_per_angstrom3",
        "eV/Angstrom^3",
        "largest component, by size, of the corrected stress that the cell was relaxed by",
        decimals=7,
    ),
    Quantity(
        "pulay_pressure_ev_per_angstrom3",
        "eV/Angstrom^3",
        "pressure that the stress lacked for want of plane waves, by energies of strained cells; the cell is corrected for it",
        decimals=6,
    ),
    Quantity(
        "energy_stress_ev_per_angstrom3",
        "eV/Angstrom^3",
        "largest component, by size, of the stress from energies of strained cells (cutoff kept) at the relaxed cell",
        decimals=6,
    ),
    # poses
    Quantity(
        "pose_energies_ev",
        "eV",
        "filter-level adsorption energies of the distinct poses, ascending; negative = bound",
        ("n_found",),
    ),
    Quantity(
        "lowest_after_ev",
        "eV",
        "lowest filter-level adsorption energy known after start k; 0 (slab and molecule apart) where none was lower; non-increasing",
        ("n_starts",),
    ),
    Quantity(
        "found_by", "", "starts that ended in each of the distinct minima, in their order", ("n_found",), decimals=0
    ),
    Quantity(
        "starts_by_class",
        "",
        "starts of the pose search that ended bound, desorbed, dissociated, rearranged, surface_changed, unconverged, without an SCF",
        ("7",),
        decimals=0,
    ),
    Quantity(
        "rank_correlation",
        "",
        "Spearman's rank coefficient of the filter's energies with those of the final level; 1 = the same order",
        decimals=3,
    ),
    Quantity(
        "rank_relaxed",
        "",
        "Spearman's rank coefficient of the filter's energies with those after relaxation; 1 = the same order",
        decimals=3,
    ),
    Quantity(
        "rank_final",
        "",
        "Spearman's rank coefficient of the energies after relaxation with those of the row's level; 1 = the same order",
        decimals=3,
    ),
    Quantity(
        "hydrogen_bonds",
        "",
        "hydrogen bonds between adsorbate and slab of each distinct pose: H...N,O,F at most 2.3 Angstrom, angle at H at least 120 degrees",
        ("n_found",),
        decimals=0,
    ),
    Quantity(
        "bonds_to_slab", "", "covalent bonds between adsorbate and slab of each distinct pose", ("n_found",), decimals=0
    ),
    Quantity(
        "metal_contacts",
        "",
        "contacts of the adsorbate with metal atoms of the slab (within 1.25 times the covalent radii) of each distinct pose",
        ("n_found",),
        decimals=0,
    ),
    Quantity(
        "nearest_contact_angstrom",
        "Angstrom",
        "shortest distance between adsorbate and slab of each distinct pose",
        ("n_found",),
        decimals=3,
    ),
    Quantity(
        "adsorbate_charge_e",
        "e",
        "Hirshfeld charge of the adsorbate on the slab; positive: electrons went to the slab",
        decimals=4,
    ),
    Quantity(
        "height_angstrom", "Angstrom", "lowest nucleus of the adsorbate above the highest of the slab", decimals=3
    ),
    # tables
    Quantity("energy_per_atom_ev", "eV", "total energy of a crystal for each atom; zero is the engine's own"),
    Quantity(
        "layer_binding_per_atom_ev",
        "eV",
        "E(one layer alone) - E(layered crystal), each for one atom: what it takes to part all layers; positive = bound",
    ),
    Quantity("layer_dispersion_per_atom_ev", "eV", "dispersion part of layer_binding_per_atom_ev"),
    Quantity("ip_vertical_ev", "eV", "E(cation at the neutral's geometry) - E(neutral); positive"),
    Quantity("e_bind_ev", "eV", "E(ion) + E(remainder) - E(whole), all relaxed; positive = bound"),
    Quantity("e_bind_kcal_mol", "kcal/mol", "e_bind_ev in kcal/mol", decimals=3),
    Quantity(
        "counterpoise_ev",
        "eV",
        "basis-set superposition at the geometry of the whole; >= 0; to be subtracted from e_bind_ev, added to e_ads_ev",
    ),
    Quantity(
        "deformation_ev",
        "eV",
        "E(remainder at the geometry of the whole) - E(remainder relaxed); >= 0, contained in e_bind_ev",
    ),
    Quantity("e_bind_dispersion_ev", "eV", "dispersion part of e_bind_ev; positive = dispersion binds"),
    Quantity("h_bind_ev", "eV", "enthalpy of binding at 298.15 K, gas phase; positive = bound"),
    Quantity(
        "g_bind_ev",
        "eV",
        "free energy of binding at 298.15 K: 1 bar in the gas phase, 1 mol/l in a continuum; positive = bound",
    ),
    Quantity("g_bind_kcal_mol", "kcal/mol", "g_bind_ev in kcal/mol", decimals=3),
    Quantity(
        "exchange_ev",
        "eV",
        "energy of handing the ion over to the solvent, whole + solvent -> remainder + solvent with ion; positive = costs",
    ),
    Quantity("g_exchange_ev", "eV", "free energy of the same at 298.15 K; positive = costs"),
    Quantity("delta_e_ev", "eV", "electronic energy of products minus reactants; negative = releases energy"),
    Quantity("delta_e_kcal_mol", "kcal/mol", "delta_e_ev in kcal/mol", decimals=3),
    Quantity("delta_h_ev", "eV", "the same with enthalpies at 298.15 K, gas phase"),
    Quantity(
        "delta_g_ev", "eV", "the same with free energies at 298.15 K: 1 bar in the gas phase, 1 mol/l in a continuum"
    ),
    Quantity("delta_g_kcal_mol", "kcal/mol", "delta_g_ev in kcal/mol", decimals=3),
    Quantity(
        "vertical_ev", "eV", "energy to remove an electron, or gained by adding one, at the geometry of the neutral"
    ),
    Quantity("adiabatic_ev", "eV", "the same with the ion relaxed"),
    Quantity("potential_v", "V", "redox potential against Li/Li+"),
    Quantity("li_reference_v", "V", "absolute potential of Li/Li+ that was subtracted", decimals=3),
    Quantity("homo_average_ev", "eV", "homo_ev averaged over conformers with their Boltzmann weights at 298.15 K"),
    Quantity("lumo_average_ev", "eV", "lumo_ev averaged over conformers with their Boltzmann weights at 298.15 K"),
    Quantity("e_ads_ev", "eV", "E(slab+molecule) - E(slab) - E(molecule, same box); negative = bound"),
    Quantity("e_ads_change_ev", "eV", "e_ads_ev with one setting changed, minus e_ads_ev with the campaign's settings"),
    Quantity("e_disp_ev", "eV", "dispersion part of e_ads_ev"),
    Quantity("e_electronic_ev", "eV", "e_ads_ev without its dispersion part"),
    Quantity(
        "e_ads_spread_ev", "eV", "standard deviation of e_ads_ev over the ensemble of 2,000 functionals of its level"
    ),
    Quantity(
        "profile_heights_angstrom",
        "Angstrom",
        "heights above the bottom of the cell, of profiles",
        ("n_heights",),
        decimals=4,
    ),
    Quantity(
        "profile_electrons_per_angstrom",
        "1/Angstrom",
        "valence electrons of the cell between z and z + dz",
        ("n_heights",),
        decimals=5,
    ),
    Quantity(
        "profile_potential_ev",
        "eV",
        "electrostatic energy of an electron, averaged over the plane, against the upper vacuum",
        ("n_heights",),
        decimals=4,
    ),
    Quantity("slab_extent_angstrom", "Angstrom", "heights of a slab's lowest and highest nucleus", ("2",), decimals=3),
    Quantity(
        "adsorbate_extent_angstrom",
        "Angstrom",
        "heights of an adsorbate's lowest and highest nucleus",
        ("2",),
        decimals=3,
    ),
    Quantity("g_ads_ev", "eV", "free energy of adsorption at 298.15 K from the gas at 1 bar, lowest pose"),
    Quantity("e_ads_average_ev", "eV", "e_ads_ev averaged over the distinct poses with Boltzmann weights at 298.15 K"),
    Quantity(
        "interaction_ev",
        "eV",
        "E(slab+molecule) - E(slab as it is there) - E(molecule as it is there): e_ads_ev without the deformations",
    ),
    Quantity(
        "deformation_slab_ev",
        "eV",
        "E(slab as in the pose) - E(slab), contained in e_ads_ev; >= 0 at the level of the geometries",
    ),
    Quantity(
        "deformation_molecule_ev",
        "eV",
        "E(molecule as in the pose) - E(molecule), contained in e_ads_ev; >= 0 at the level of the geometries",
    ),
    Quantity("n_poses", "", "distinct poses that reached the final level", decimals=0),
)


def rounded(name: str, value: Any) -> Any:
    """`value` as the record stores it. Raises KeyError for an undeclared name, ValueError for NaN or a wrong shape."""
    quantity = QUANTITIES[name]
    array = np.asarray(value, dtype=float)
    if array.ndim != len(quantity.shape):
        raise ValueError(f"{name}: declared with {len(quantity.shape)} dimensions, got {array.ndim}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: not a finite number")
    result = np.round(array, quantity.decimals) + 0.0  # no negative zero
    if quantity.decimals == 0:
        result = result.astype(int)
    return result.tolist()


def combine(name: str, terms: Sequence[tuple[float, "Record"]], plane: bool = False) -> float:
    """Sum of coefficient * quantity `name` over records that were computed alike.

    The one place where energies are subtracted. Raises UnlikeError when the records differ in level, environment,
    physics revision or (periodic systems) in cell or k-points. `plane`: the cells need to agree in their first two vectors
    only, for a layer alone and the crystal that it is from (plane waves of one cutoff; the k-points follow from the cell).
    """
    _refuse_unlike(name, terms, plane)
    return float(sum(coefficient * record.quantities[name] for coefficient, record in terms))


def combine_lists(name: str, terms: Sequence[tuple[float, "Record"]]) -> list[float]:
    """`combine` for a quantity that is a list of numbers: the same sum, number by number."""
    _refuse_unlike(name, terms)
    total = sum(coefficient * np.array(record.quantities[name], dtype=float) for coefficient, record in terms)
    return [float(x) for x in np.atleast_1d(total)]


def _refuse_unlike(name: str, terms: Sequence[tuple[float, "Record"]], plane: bool = False) -> None:
    reference = terms[0][1]
    for _, record in terms[1:]:
        for what, mine in reference.likeness().items():
            theirs = record.likeness().get(what)
            if what == "versions":  # of packages that both name: later revisions of this program name more of them
                theirs = mine | {k: version for k, version in (theirs or {}).items() if k in mine}
            if plane and what == "cell" and mine and theirs:
                mine, theirs = (json.loads(cell)[:2] for cell in (mine, theirs))
            if theirs != mine:
                raise UnlikeError(
                    f"refused to subtract {name}: '{reference.spec.label}' and '{record.spec.label}' differ in {what}: {mine} against {theirs}"
                )
