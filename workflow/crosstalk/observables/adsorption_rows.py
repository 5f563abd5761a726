"""What a row of the adsorption table reads from its records: the reference, the energy, its parts and minima, how the search and its poses ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from crosstalk import beef
from crosstalk.observables.base import ENSEMBLE, PROFILES, Row, usable
from crosstalk.quantities import combine, combine_lists
from crosstalk.ranking import LEAST_RANKED, rank_correlation
from crosstalk.record import USABLE, Record
from crosstalk.structures.pose_ensembles import RESOLUTION_EV

Terms = list[tuple[float, Record]]
#: A slab or molecule that is lower in the pose than alone by more than this was not at its minimum alone; eV.
SETTLED = 0.03
#: Role of the slab relaxed from where the lowest pose has it, which is the reference where it is lower than the bare one.
RESETTLED = "slab from the pose"
#: What holds the lowest pose.
HELD_BY = ("hydrogen_bonds", "bonds_to_slab", "metal_contacts", "nearest_contact_angstrom")
#: Missed gates of a geometry that mean "unconverged".
UNCONVERGED = ("geometry_converged", "filter_converged")


def resettled(records: Mapping[str, Record]) -> dict[str, Record]:
    """Records of a row with the lower of the two bare slabs as its reference.

    The other one is left out, unless it is wanted and not there (yet).
    """
    rest = {role: record for role, record in records.items() if role != RESETTLED}
    if RESETTLED not in records or not records["slab"].usable:
        return rest
    found = records[RESETTLED]
    if found.usable:
        return rest | ({"slab": found} if is_lower(found, records["slab"]) else {})
    in_place = records.get("slab in place")
    gained = in_place is not None and in_place.usable and combine("energy_ev", [(1, in_place), (-1, records["slab"])])
    wanted = found.status != "absent" and gained is not False and gained < -SETTLED
    return rest | ({RESETTLED: found} if wanted else {})


def is_lower(found: Record, slab: Record) -> bool:
    return found.usable and slab.usable and combine("energy_ev", [(1, found), (-1, slab)]) < 0


def needed(records: Mapping[str, Record], energies: Any) -> dict[str, Record]:
    """The records whose status is the row's: without the poses that do not exist, as long as one does."""
    return {r: record for r, record in records.items() if record.status != "absent" or not energies}


def terms_of(records: Mapping[str, Record], role: str) -> Terms:
    return [(1, records[role]), (-1, records["slab"]), (-1, records["molecule"])]


def energy_of(terms: Terms, facts: Mapping[str, Any]) -> float:
    """The difference of energies, of the level's own functional or of one that is evaluated on its density."""
    if "functional" in facts:
        return combine_lists("functional_energies_ev", terms)[facts["functional"]]
    return combine("energy_ev", terms)


def parts_of(records: Mapping[str, Record], best: str, e_ads: float, facts: Mapping[str, Any]) -> Row:
    """What the adsorption energy of the lowest pose is made of, and what its ensemble is."""
    terms, row = terms_of(records, best), Row()
    if "functional" not in facts and all("dispersion_ev" in record.quantities for _, record in terms):
        row["e_disp_ev"] = combine("dispersion_ev", terms)
        row["e_electronic_ev"] = e_ads - row["e_disp_ev"]
    if facts["ensemble"] and all("ensemble_contributions_ev" in record.quantities for _, record in terms):
        contributions = combine_lists("ensemble_contributions_ev", terms)
        row["e_ads_spread_ev"] = beef.spread(contributions)
        row[ENSEMBLE] = {"e_ads_ev": contributions}
    in_place = ("slab in place", "molecule in place")
    if all(role in records for role in in_place) and usable(records, *in_place):
        slab, molecule = (records[role] for role in in_place)
        row["interaction_ev"] = combine("energy_ev", [(1, records[best]), (-1, slab), (-1, molecule)])
        row["deformation_slab_ev"] = combine("energy_ev", [(1, slab), (-1, records["slab"])])
        row |= density_change(records[best], slab, molecule)
        row["deformation_molecule_ev"] = combine("energy_ev", [(1, molecule), (-1, records["molecule"])])
        ghosts = ("slab with ghosts", "molecule with ghosts")
        if all(role in records for role in ghosts) and usable(records, *ghosts):
            corrections = [(-1.0, records[role]) for role in ghosts]
            row["counterpoise_ev"] = combine("energy_ev", [(1, slab), (1, molecule), *corrections])
    return row


def sank(row: Row) -> bool:
    """Whether a part costs less than nothing to bring where it is in the pose."""
    costs = (row.get("deformation_slab_ev"), row.get("deformation_molecule_ev"))
    return any(cost is not None and cost < -SETTLED for cost in costs)


def density_change(pose: Record, slab: Record, molecule: Record) -> Row:
    """How the density along the normal changes when slab and molecule, as they are in the pose, meet."""
    name = "profile_electrons_per_angstrom"
    if any(name not in record.quantities for record in (pose, slab, molecule)):
        return {}
    wanted = ("profile_heights_angstrom", "slab_extent_angstrom", "adsorbate_extent_angstrom")
    change = combine_lists(name, [(1, pose), (-1, slab), (-1, molecule)])
    return {PROFILES: {key: pose.quantities[key] for key in wanted} | {name: change}}


def minima_of(records: Mapping[str, Record], e_ads: float) -> Row:
    """The distinct minima: their energies with the starts that found them, and the average over them."""
    if "ensemble" not in records or not records["ensemble"].usable:
        return {}
    quantities = records["ensemble"].quantities
    energies = [e_ads + relative for relative in quantities["relative_energies_ev"]]
    average = sum(w * e for w, e in zip(quantities["weights"], energies, strict=True))
    found = quantities.get("found_by", [None] * len(energies))
    texts = [f"{e:.3f}" + (f" ({n} starts)" if n is not None else "") for e, n in zip(energies, found, strict=True)]
    return {
        "e_ads_average_ev": average,
        "minima": "; ".join(texts),
        "rank_correlation": quantities.get("rank_correlation"),
        **{name: quantities[name][0] for name in HELD_BY if name in quantities},
    }


def ranks_of(records: Mapping[str, Record], energies: Mapping[str, float]) -> Row:
    """How well each stage of the funnel foretold the next one's order; `energies` by pose."""
    filtered = records["poses"].quantities.get("pose_energies_ev", [])
    relaxed = {
        role: records[f"{role} geometry"].quantities["energy_ev"]
        for role in energies
        if f"{role} geometry" in records and records[f"{role} geometry"].usable
    }
    if len(relaxed) < LEAST_RANKED:
        return {}
    first = [filtered[int(role.split()[-1]) - 1] for role in relaxed] if filtered else None
    after = list(relaxed.values())
    found: Row = {"rank_final": rank_correlation(after, [energies[role] for role in relaxed])}
    return found | ({"rank_relaxed": rank_correlation(first, after)} if first else {})


def end_of(records: Mapping[str, Record], role: str) -> str:
    """How a pose ended: bound, unconverged, or the status of what failed; empty when it does not exist or is not known yet."""
    geometry = records.get(f"{role} geometry", records["poses"])
    told = next((record for record in (geometry, records[role]) if record.status not in USABLE), None)
    if told is not None:
        known = told.status not in ("absent", "blocked", "missing")
        return told.status.replace("not_converged", "unconverged").replace("_", " ") if known else ""
    return "unconverged" if any(gate.name in UNCONVERGED for gate in geometry.missed) else "bound"


def searched(quantities: Mapping[str, Any]) -> str:
    """What the pose search knew when; starts are counted from 1. Empty for a record of before, or of starts that went unranked."""
    if "discovery" not in quantities:
        return ""
    known, lowest = quantities["discovery"], quantities["lowest_after_ev"]
    last = 1 + next(k for k, n in enumerate(known) if n == known[-1])
    settled = 1 + next(k for k, energy in enumerate(lowest) if energy - lowest[-1] <= RESOLUTION_EV)
    return f"{known[-1]} minima, the last at start {last}, the lowest at {settled}"


def counted(names: Sequence[str], numbers: Sequence[int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in zip(names, numbers, strict=False) if n)
