"""Lattices of bulk crystals: cell and density relaxed at a level, and what holds the layers of layered ones together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from crosstalk.config.models import Model
from crosstalk.observables.base import CLOSING, Entry, Observable, Read, Row, close, usable
from crosstalk.quantities import combine

if TYPE_CHECKING:
    from crosstalk.plan import Planner

#: Columns that are quantities of the relaxed crystal itself.
OWN = (
    "lattice_a_angstrom", "lattice_b_angstrom", "lattice_c_angstrom", "lattice_alpha_deg", "lattice_beta_deg", "lattice_gamma_deg",
    "interlayer_angstrom", "formula_volume_angstrom3", "bulk_density_g_cm3", "n_atoms", "n_steps", "max_stress_ev_per_angstrom3",
    "pulay_pressure_ev_per_angstrom3", "energy_stress_ev_per_angstrom3",
)  # fmt: skip
#: Roles of the energies that the binding of layers is made of.
PARTS = ("crystal", "layer")


class Settings(Model):
    levels: list[str] = Field(
        min_length=1,
        description="levels, each a row of its own: plane waves of 800 eV or more; the limits of the relaxation are the tier's (section lattices)",
    )


class Lattices(Observable):
    name = "lattices"
    title = "Lattices of bulk crystals"
    subjects = {"crystals": "crystals"}
    engines = ("gpaw",)
    section = Settings
    columns = (
        "crystal", "level", "composition", "space_group", *OWN[:7], "layer_binding_per_atom_ev", "layer_dispersion_per_atom_ev",
        *OWN[7:9], "energy_per_atom_ev", *OWN[9:], *CLOSING,
    )  # fmt: skip
    sign = (
        "Cell and positions relaxed within the space group of the crystal's file: static lattices at 0 K, without zero-point motion, which swells "
        "measured ones by some tenths of a percent. Lattice constants of the cell as the file has it; volume of a formula unit. layer_binding = "
        "E(one layer alone) - E(crystal), each for one atom, the layer as it is in the crystal; positive = bound. "
        "pulay_pressure: what the stress lacked for want of plane waves, found from energies of strained cells and corrected for; "
        "energy_stress: the slope of such energies that is left at the relaxed cell, a gate."
    )

    def entries(self, planner: "Planner", settings: Settings, subjects: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        for name in subjects["crystals"]:
            for level in settings.levels:
                bulk = planner.bulk(name, level)
                specs = {"bulk": bulk}
                if planner.config.crystals[name].layered:
                    specs |= {part: planner.crystal_energy(bulk, name, level, part) for part in PARTS}
                yield Entry(self.name, {"crystal": name, "level": level}, specs)

    def row(self, entry: Entry, read: Read) -> Row:
        records = {role: read(spec) for role, spec in entry.specs.items()}
        bulk = records["bulk"]
        row: Row = dict(entry.subject)
        if bulk.usable:
            row |= {column: bulk.quantities.get(column) for column in OWN}
            row["energy_per_atom_ev"] = bulk.quantities["energy_ev"] / bulk.quantities["n_atoms"]
            row["composition"] = bulk.artefacts.get("structure", {}).get("formula")
            row["space_group"] = next((gate.value for gate in bulk.gates if gate.name == "symmetry_kept"), None)
        if len(records) > 1 and usable(records, *PARTS):
            # for one atom each: boxes that differ along the normal alone
            terms = [(s / records[part].quantities["n_atoms"], records[part]) for s, part in zip((-1, 1), PARTS, strict=True)]  # fmt: skip
            row["layer_binding_per_atom_ev"] = combine("energy_ev", terms, plane=True)
            if all("dispersion_ev" in record.quantities for _, record in terms):
                row["layer_dispersion_per_atom_ev"] = combine("dispersion_ev", terms, plane=True)
        return close(row, self.columns, records, "bulk")


OBSERVABLE = Lattices()
