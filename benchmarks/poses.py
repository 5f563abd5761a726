"""From a pose of the filter to its relaxed energy in plane waves: ours against plain ASE BFGS in plane waves.

    python benchmarks/poses.py              45 atoms: graphite-basal-1 + OPF(OCH3)2, the levels of tier standard; half an hour
    python benchmarks/poses.py toy          10 atoms at a low cutoff: shows that the script works; minutes
    python benchmarks/poses.py [toy] ours   one way alone; also: plain, bfgs, guided

ours    what the workflow does: relaxed at the tier's level for geometries, then one single point at that for energies
plain   a script from a tutorial: ASE's BFGS and GPAW as released, at the level for energies throughout
bfgs    ASE's BFGS in place of our optimiser, all else as ours: what the optimiser alone is worth
guided  our optimiser at the level for energies throughout

All ways begin at the lowest published pose, stop at the same force on the atoms (ours at the same force along the adsorbate's
rigid-body motions as well) and end with an energy at the same level: differences of energies are differences of adsorption
energies, for slab and molecule are the same. Every way has RANKS processes to itself. Prints one markdown row for each: seconds
of the wall, and of all processes together (which neighbours move less).
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RANKS = int(os.environ.get("RANKS", "2"))
SURFACE, ADSORBATE, TIER = "graphite-basal-1", "OPF(OCH3)2", "standard"
#: Of plain BFGS, which may need more than a tier allows.
MOST_STEPS = 200


def pose(toy: bool) -> Any:
    """The lowest published pose."""
    from crosstalk.record import read_extxyz

    if toy:
        return toy_pose()
    published = ROOT / "results/published/quick"
    for path in (published / "records/poses").glob("*.json"):
        if json.loads(path.read_text()).get("spec", {}).get("label") == f"{ADSORBATE} on {SURFACE}":
            return read_extxyz((published / f"structures/poses/{path.stem}.xyz").read_text())[2]
    sys.exit(f"no published pose of {ADSORBATE} on {SURFACE}")


def toy_pose() -> Any:
    """H2, too long, above 2x2 graphene."""
    from ase import Atoms

    from crosstalk.structures import slabs

    slab = slabs.in_box(slabs.graphite_basal(2.467, 3.35, 1), 7.0).repeat((2, 2, 1))
    slab.set_tags(0)
    hydrogen = Atoms("H2", [[0, 0, 0], [0.3, 0.1, 0.85]], tags=[1, 1])
    hydrogen.positions += slab.positions.mean(axis=0)
    hydrogen.positions += (0.2, 0.1, 2.8)
    both = slab + hydrogen
    both.center(vacuum=3.5, axis=2)
    return both


def levels(toy: bool) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Level of geometries, level of energies, settings of relaxations: of the tier, or of the toy."""
    from crosstalk.config import load
    from crosstalk.observables.adsorption import Settings

    config = load(ROOT / "config")
    adsorption = Settings(**config.tiers[TIER].observables["adsorption"])
    assert adsorption.geometry is not None
    geometry, energy = (config.levels[name].identity() for name in (adsorption.geometry.level, adsorption.levels[0]))
    relax = {"fmax_ev_per_angstrom": adsorption.geometry.fmax_ev_per_angstrom, "max_steps": MOST_STEPS}
    if toy:
        geometry |= {"kpoint_spacing_per_angstrom": None}
        energy |= {"kpoint_spacing_per_angstrom": None, "cutoff_ev": 200.0}
        relax = {"fmax_ev_per_angstrom": 0.1, "max_steps": 6}
    return geometry, energy, relax | {"freeze_below": adsorption.freeze_below, "index": 0}


def ours(toy: bool, folder: Path) -> dict[str, float]:
    """The two steps of the workflow."""
    geometry, energy, relax = levels(toy)
    found = step("surface_relax", pose(toy), {"level": geometry, **relax}, folder)
    single = step("surface_energy", found.structures[0], {"level": energy, "index": 0}, folder / "single")
    return told(found, single.quantities["energy_ev"])


def guided(toy: bool, folder: Path) -> dict[str, float]:
    """Our optimiser, all in plane waves."""
    _, energy, relax = levels(toy)
    found = step("surface_relax", pose(toy), {"level": energy, **relax}, folder)
    return told(found, found.quantities["energy_ev"])


def step(name: str, atoms: Any, settings: dict[str, Any], folder: Path) -> Any:
    """A step as a job runs it."""
    from crosstalk import machine
    from crosstalk.spec import Spec
    from crosstalk.steps import STEPS, Input, function

    machine.keep_freed_memory()
    folder.mkdir(exist_ok=True)
    spec = Spec(name, "gpaw", settings, {"geometry": "0"}, STEPS[name].revision)
    return function(spec)(spec, {"geometry": Input(None, [atoms])}, folder)  # type: ignore[arg-type]


def told(found: Any, energy: float) -> dict[str, float]:
    gradients = found.quantities["n_steps"] + 1
    return {"gradients": gradients, "energy": energy, "force": found.quantities["max_force_ev_per_angstrom"]}


def plain(toy: bool, folder: Path) -> dict[str, float]:
    """A script from a tutorial: GPAW as released, one level, ASE's BFGS."""
    from gpaw.new.ase_interface import GPAW

    from crosstalk.engines.gpaw import parameters

    _, energy, relax = levels(toy)
    atoms = pose(toy)
    atoms.pbc = (True, True, False)
    found = by_bfgs(atoms, GPAW(txt=folder / "gpaw.txt", **parameters(atoms, energy, symmetry=False)), energy, relax)
    return found | {"energy": float(atoms.get_potential_energy())}


def bfgs(toy: bool, folder: Path) -> dict[str, float]:
    """The workflow's two steps and its calculator, with ASE's BFGS."""
    from crosstalk.engines.gpaw import calculator

    geometry, energy, relax = levels(toy)
    atoms = pose(toy)
    atoms.pbc = (True, True, False)
    found = by_bfgs(atoms, calculator(atoms, geometry, folder, "default", symmetry=False), geometry, relax)
    atoms.calc = None
    single = step("surface_energy", atoms, {"level": energy, "index": 0}, folder / "single")
    return found | {"energy": single.quantities["energy_ev"]}


def by_bfgs(atoms: Any, calc: Any, level: dict[str, Any], relax: dict[str, Any]) -> dict[str, float]:
    """Relaxes `atoms`, which keep the calculator; gradients and the largest force that is left."""
    import numpy as np
    from ase.calculators.mixing import SumCalculator
    from ase.optimize import BFGS

    from crosstalk.engines.gpaw import dispersion

    atoms.calc = SumCalculator([calc, dispersion(level)])
    optimiser = BFGS(atoms, logfile=None)
    optimiser.run(fmax=relax["fmax_ev_per_angstrom"], steps=relax["max_steps"])
    return {"gradients": optimiser.nsteps + 1, "force": float(np.linalg.norm(atoms.get_forces(), axis=1).max())}


def measured(way: str, toy: bool, script: str = __file__) -> dict[str, float]:
    """One way of a script in processes of its own, with its wall time."""
    from crosstalk.execute import DEFAULT_LAUNCHER, MPI_AS_ROOT

    launcher = [*DEFAULT_LAUNCHER.format(ranks=RANKS).split(), "gpaw", "python"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = (
        os.environ | MPI_AS_ROOT | {"OMP_NUM_THREADS": "1", "PATH": path, "PYTHONPATH": str(Path(__file__).parent)}
    )
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [*launcher, script, "worker", way, "toy" if toy else "full", folder]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{way} ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    answer = next(line for line in done.stdout.splitlines() if line.startswith("{"))
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(answer) | {"seconds": seconds, "cpu": spent}


def main(arguments: list[str]) -> None:
    toy = "toy" in arguments
    ways = [way for way in arguments if way != "toy"] or ["ours", "plain"]
    print(
        "| way | s | CPU s | gradients | largest force, eV/Angstrom | energy, eV |\n|---|---:|---:|---:|---:|---:|",
        flush=True,
    )
    found = {}
    for way in ways:
        one = found[way] = measured(way, toy)
        row = f"{one['seconds']:.0f} | {one['cpu']:.0f} | {one['gradients']:.0f} | {one['force']:.3f} | {one['energy']:.4f}"
        print(f"| {way} | {row} |", flush=True)
    if {"ours", "plain"} <= set(found):
        ratio = found["plain"]["cpu"] / found["ours"]["cpu"]
        higher = 1000 * (found["ours"]["energy"] - found["plain"]["energy"])
        print(f"\nOurs takes 1/{ratio:.1f} of the time of all processes and ends {higher:+.0f} meV from plain BFGS.")


def run(ways: dict[str, Any], main: Any) -> None:
    """The script, or one way of it as the process that `measured` starts."""
    if sys.argv[1:2] != ["worker"]:
        main(sys.argv[1:])
        return
    from ase.parallel import world

    result = ways[sys.argv[2]](sys.argv[3] == "toy", Path(sys.argv[4]))
    if world.rank == 0:
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    run(globals(), main)
