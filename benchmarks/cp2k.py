"""One SCF and its forces, 45 atoms (graphite-basal-1 + OPF(OCH3)2): ours in plane waves against CP2K.

    python benchmarks/cp2k.py              both, one after the other, RANKS processes each; minutes, both cores to itself
    python benchmarks/cp2k.py ours|cp2k    one way alone
    python benchmarks/cp2k.py water cp2k   a molecule in a small box: shows that the script works; seconds

Ours: the level of geometries of tier standard. CP2K (Debian's package cp2k): PBE-D3(BJ), DZVP-MOLOPT-SR-GTH, GTH potentials,
400 Ry on five grids, Gamma, orbital transformation, SCF to 1e-6, periodic in three directions. Two bases of unlike kind: times
are compared, energies are not. Prints one markdown row for each.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import poses
from ase.data import chemical_symbols

INPUT = """
&GLOBAL
  PROJECT one
  RUN_TYPE ENERGY_FORCE
  PRINT_LEVEL MEDIUM
&END GLOBAL
&FORCE_EVAL
  METHOD QUICKSTEP
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    &MGRID
      CUTOFF 400
      NGRIDS 5
      REL_CUTOFF 50
    &END MGRID
    &SCF
      EPS_SCF 1.0E-6
      MAX_SCF 50
      SCF_GUESS ATOMIC
      &OT
        MINIMIZER DIIS
        PRECONDITIONER FULL_SINGLE_INVERSE
      &END OT
      &OUTER_SCF
        EPS_SCF 1.0E-6
        MAX_SCF 10
      &END OUTER_SCF
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
      &VDW_POTENTIAL
        POTENTIAL_TYPE PAIR_POTENTIAL
        &PAIR_POTENTIAL
          TYPE DFTD3(BJ)
          PARAMETER_FILE_NAME dftd3.dat
          REFERENCE_FUNCTIONAL PBE
        &END PAIR_POTENTIAL
      &END VDW_POTENTIAL
    &END XC
  &END DFT
  &PRINT
    &FORCES ON
    &END FORCES
  &END PRINT
  &SUBSYS
    &CELL
{cell}
    &END CELL
    &COORD
{atoms}
    &END COORD
{kinds}
  &END SUBSYS
&END FORCE_EVAL
"""
#: Valence electrons of the GTH potentials.
VALENCE = {"H": 1, "C": 4, "O": 6, "F": 7, "Si": 4, "P": 5}


def system(small: bool) -> Any:
    """The lowest published pose, or a water molecule in a box."""
    if not small:
        return poses.pose(toy=False)
    from ase.build import molecule

    water = molecule("H2O", vacuum=4.0)
    water.set_tags(1)
    return water


def ours(small: bool, folder: Path) -> dict[str, float]:
    """SCF and forces as the workflow's relaxations compute them."""
    from crosstalk.engines.gpaw import calculator, dispersion

    level, _, _ = poses.levels(small)
    atoms = system(small)
    atoms.pbc = (True, True, False)
    atoms.calc = calculator(atoms, level, folder, "default", symmetry=False)
    force = atoms.get_forces() + dispersion(level).get_forces(atoms)
    return {"force": float(np.linalg.norm(force, axis=1).max()), "iterations": atoms.calc.get_number_of_iterations()}


def cp2k(small: bool, folder: Path) -> dict[str, float]:
    """Debian's cp2k on an input file of our making."""
    from ase.units import Bohr, Hartree

    atoms = system(small)
    cell = "\n".join(f"      {'ABC'[k]} {x:.6f} {y:.6f} {z:.6f}" for k, (x, y, z) in enumerate(atoms.cell.array))
    lines = [f"      {s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)]
    kinds = [
        f"    &KIND {s}\n      BASIS_SET DZVP-MOLOPT-SR-GTH\n      POTENTIAL GTH-PBE-q{VALENCE[s]}\n    &END KIND"
        for s in sorted(set(atoms.symbols), key=chemical_symbols.index)
    ]
    (folder / "one.inp").write_text(INPUT.format(cell=cell, atoms="\n".join(lines), kinds="\n".join(kinds)))
    command = ["mpirun", "-n", str(poses.RANKS), "--bind-to", "none", "--oversubscribe"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": os.defpath}  # the mpirun that cp2k was built with
    done = subprocess.run(
        [*command, "cp2k.psmp", "-i", "one.inp"], cwd=folder, capture_output=True, text=True, env=environment
    )
    if done.returncode or "SCF run NOT converged" in done.stdout:
        sys.exit(f"cp2k ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-1000:]}")
    block = done.stdout.split("ATOMIC FORCES in [a.u.]")[1].split("SUM OF")[0]
    rows = re.findall(r"^\s+\d+\s+\d+\s+\w+\s+(\S+)\s+(\S+)\s+(\S+)\s*$", block, re.MULTILINE)
    force = np.array(rows, float) * Hartree / Bohr
    steps = re.findall(r"SCF run converged in\s+(\d+) steps", done.stdout)
    return {"force": float(np.linalg.norm(force, axis=1).max()), "iterations": float(sum(map(int, steps)))}


def main(arguments: list[str]) -> None:
    small = "water" in arguments
    ways = [way for way in arguments if way != "water"] or ["ours", "cp2k"]
    print("| way | s | iterations | largest force, eV/Angstrom |\n|---|---:|---:|---:|", flush=True)
    seconds = {}
    for way in ways:
        if way == "ours":
            found = poses.measured("ours", small, __file__)
        else:
            with tempfile.TemporaryDirectory() as folder:
                start = time.monotonic()
                found = cp2k(small, Path(folder)) | {"seconds": time.monotonic() - start}
        seconds[way] = found["seconds"]
        print(f"| {way} | {seconds[way]:.0f} | {found['iterations']:.0f} | {found['force']:.3f} |", flush=True)
    if len(seconds) == 2:
        print(f"\nOurs is {seconds['cp2k'] / seconds['ours']:.1f} times as fast.")


if __name__ == "__main__":
    poses.run(globals(), main)
