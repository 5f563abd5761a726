"""The table of slabs: what each one is, from the structure that its numbers belong to."""

from typing import Any

from crosstalk.plan import Plan
from crosstalk.record import Store
from crosstalk.reporting import tables

Row = dict[str, Any]

COLUMNS = (
    "surface", "formula", "n_atoms", "layers", "area_angstrom2", "thickness_angstrom", "bulk_density_g_cm3",
    "oh_per_nm2", "oh_bottom_per_nm2", "hydroxyls", "coordination", "by_oxygen", "least_tetrahedral_order", "frozen", "frozen_with_adsorbate", "status", "reason", "record",
)  # fmt: skip
SIGN = (
    "The primitive slab of each surface, relaxed when its level says so. coordination: atoms by their number of bonds "
    "(nearer than 1.15 times the sum of covalent radii). by_oxygen: atoms by how many of these bonds go to oxygen; of "
    "silicon the oxidation states Si0 to Si4+. least_tetrahedral_order: of the atoms with four bonds, 1 for a tetrahedron; an atom far below (0.5 is a flat "
    "square) is strained and takes up a ligand. frozen: atoms held fixed while the slab relaxes, and while it relaxes with an adsorbate. bulk_density: of the crystal or glass that the slab was cut from."
)


def table(plan: Plan, store: Store) -> list[Row]:
    """One row for each slab of the plan; without a record it says so."""
    from crosstalk.structures.description import description

    read, rows = tables.reader(plan, store), []
    for spec in (spec for spec in plan.specs.values() if spec.step == "slab"):
        record = read(spec)
        row: Row = {"surface": spec.label, "status": record.status, "reason": record.reason, "record": spec.key}
        frames = store.structures(record) if record.status != "missing" else []
        if frames and spec.engine != "fake":
            settings = spec.settings
            row |= description(frames[0], settings["surface"], settings["relax"]["freeze_below"])
            if "bulk" in spec.inputs:
                row["bulk_density_g_cm3"] = read(plan.specs[spec.inputs["bulk"]]).quantities.get("bulk_density_g_cm3")
            row["frozen_with_adsorbate"] = _held_with_adsorbate(plan, spec.key, frames[0])
        rows.append({column: row.get(column) for column in COLUMNS})
    return rows


def _held_with_adsorbate(plan: Plan, slab: str, atoms: Any) -> str:
    """What is held while an adsorbate relaxes on the slab; empty when nothing is adsorbed on it."""
    from crosstalk.structures.description import held

    if any(spec.step == "thicken" and spec.inputs["slab"] == slab for spec in plan.specs.values()):
        return "all layers below those of the surface that poses relax on"
    poses = {key for key, spec in plan.specs.items() if spec.step == "poses" and spec.inputs["slab"] == slab}
    relaxed = [s for s in plan.specs.values() if s.step == "surface_relax" and s.inputs["geometry"] in poses]
    if not relaxed:
        return "all" if poses else ""
    return "; ".join(sorted({held(atoms, spec.settings["freeze_below"]) for spec in relaxed}))
