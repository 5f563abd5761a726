"""Checks of species and reactions: structures that can be read, spins, dissociations and reactions that balance."""

from collections.abc import Iterator, Mapping
from typing import Any

from crosstalk.config import models as m
from crosstalk.config.load import Config
from crosstalk.config.problems import twins, unknown
from crosstalk.config.structures import inline, slab_facts
from crosstalk.structures import molecules


def check_species(config: Config) -> Iterator[str]:
    """Structures, charges and spins, no two alike; dissociations that balance."""
    identities: dict[str, Any] = {}
    formulas: dict[str, tuple[dict[str, int], int]] = {}
    for name, species in config.species.items():
        where = f"species.yaml: species '{name}'"
        if species.smiles is not None:
            try:
                symbols, own = molecules.symbols_of(species.smiles), molecules.charge_of(species.smiles)
                molecules.is_ion_pair(species.smiles)
                molecules.refuse_open_stereo(species.smiles)
            except ValueError as error:
                yield f"{where}: key 'smiles': {error}"
                continue
            if species.charge is not None and species.charge != own:
                yield f"{where}: key 'charge': {species.charge} does not fit the SMILES, whose charge is {own}"
            charge = own
            identities[name] = [molecules.canonical_smiles(species.smiles), species.multiplicity]
        else:
            try:
                symbols = inline(config, species.geometry or "")["symbols"]
            except Exception as error:
                yield f"{where}: key 'geometry': '{species.geometry}' cannot be read: {error}"
                continue
            charge = species.charge or 0
            identities[name] = [inline(config, species.geometry or ""), charge, species.multiplicity]
        electrons = molecules.n_electrons(symbols, charge)
        if not molecules.multiplicity_fits(electrons, species.multiplicity):
            parity = "odd" if electrons % 2 == 0 else "even"
            yield (
                f"{where}: key 'multiplicity': {species.multiplicity} does not fit {electrons} electrons (charge {charge:+d}); "
                f"allowed: {parity} numbers up to {electrons + 1}"
            )
        formulas[name] = ({s: list(symbols).count(s) for s in sorted(set(symbols))}, charge)
    yield from twins("species.yaml: species", identities)
    for name, species in config.species.items():
        if species.dissociation is not None and name in formulas:
            yield from _dissociation(name, species.dissociation, formulas, config)


def _dissociation(
    name: str, parts: m.Dissociation, formulas: Mapping[str, tuple[dict[str, int], int]], config: Config
) -> Iterator[str]:
    where = f"species.yaml: species '{name}': key 'dissociation'"
    names = [parts.ion, parts.remainder]
    missing = [n for n in names if n not in config.species]
    for part in missing:
        yield unknown(where, "species", part, config.species)
    if missing or any(n not in formulas for n in names):
        return
    if sum(formulas[parts.ion][0].values()) != 1:
        yield f"{where}: the ion '{parts.ion}' must be a single atom"
    total: dict[str, int] = {}
    for part in names:
        for element, count in formulas[part][0].items():
            total[element] = total.get(element, 0) + count
    whole, charge = formulas[name]
    if total != whole or sum(formulas[n][1] for n in names) != charge:
        yield f"{where}: atoms or charge do not balance: {name} {whole} {charge:+d}; {' + '.join(names)} {total} {sum(formulas[n][1] for n in names):+d}"


def check_reactions(config: Config) -> Iterator[str]:
    """Known species, atoms and charge that balance, no two alike."""
    from crosstalk.observables.reactions import ELECTRON, stoichiometry

    yield from twins("reactions.yaml: reactions", {n: stoichiometry(r) for n, r in config.reactions.items()})
    for name, reaction in config.reactions.items():
        where = f"reactions.yaml: reactions '{name}'"
        sides = {"reactants": reaction.reactants, "products": reaction.products}
        bad = [(k, s) for k, side in sides.items() for s in side if s != ELECTRON and s not in config.species]
        for key, species in bad:
            yield unknown(f"{where}: key '{key}'", "species (or e-)", species, config.species)
        if bad:
            continue
        if not stoichiometry(reaction):
            yield f"{where}: nothing happens: reactants and products are the same"
            continue
        total: dict[str, int] = {}
        charge = reaction.reactants.get(ELECTRON, 0) - reaction.products.get(ELECTRON, 0)
        try:
            for species, count in stoichiometry(reaction).items():
                charge += count * charge_of(config, species)
                for element in elements_of(config, "species", species):
                    total[element] = total.get(element, 0) + count
        except (ValueError, OSError):
            continue  # a species that cannot be read was said to be so
        if charge or any(total.values()):
            off = ", ".join(f"{element} {count:+d}" for element, count in total.items() if count)
            yield f"{where}: does not balance: products minus reactants: {off or 'atoms balance'}, charge {charge:+d}"


def charge_of(config: Config, name: str) -> int:
    """Total charge of a species, e."""
    species = config.species[name]
    return species.charge if species.charge is not None else molecules.charge_of(species.smiles or "")


def elements_of(config: Config, kind: str, name: str) -> list[str]:
    """Symbols of the atoms of a config entry; kind: species, reactions, surfaces or crystals."""
    if kind == "reactions":
        from crosstalk.observables.reactions import stoichiometry

        return [e for species in stoichiometry(config.reactions[name]) for e in elements_of(config, "species", species)]
    if kind == "species":
        species = config.species[name]
        return list(
            molecules.symbols_of(species.smiles)
            if species.smiles
            else inline(config, species.geometry or "")["symbols"]
        )
    if kind == "crystals":
        return list(inline(config, config.crystals[name].file)["symbols"])
    return list(slab_facts(config, config.surfaces[name])["elements"])
