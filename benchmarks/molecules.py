"""SCF and gradient of a few molecules, B3LYP/6-311++G(d,p): ours against plain PySCF and Psi4, both cores in use.

    python benchmarks/molecules.py                 ours and plain PySCF
    python benchmarks/molecules.py psi4            Psi4 too (`apt install psi4`)
    python benchmarks/molecules.py psi4-blas1      Psi4 with OPENBLAS_NUM_THREADS=1: its threads and those of a threaded
                                                   OpenBLAS get in each other's way, for it takes no notice of them

Each way gets the same geometries (the published conformers) and two cores: ours two processes of one thread side by side,
the others two threads. Prints one markdown row for each molecule and way, with energies and HOMO, so that the answers are
seen to be equal.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = ("EC", "EMC", "OPF(OCH3)2")
LEVEL, BASIS = "b3lyp-d3/6-311++g**", "6-311++g(d,p)"


def geometries() -> dict[str, list[tuple[str, list[float]]]]:
    """Lowest published conformer of each molecule, Angstrom."""
    from crosstalk.record import read_extxyz

    found = {}
    for path in (ROOT / "results/published/quick/records/conformers").glob("*.json"):
        label = json.loads(path.read_text()).get("spec", {}).get("label")
        if label in NAMES:
            atoms = read_extxyz(
                (ROOT / "results/published/quick/structures/conformers" / f"{path.stem}.xyz").read_text()
            )[0]
            found[label] = list(zip(list(atoms.symbols), atoms.positions.tolist(), strict=True))
    return found


def ours(names: list[str], atoms: dict) -> None:
    """As steps do it at the shipped level: density-fitted, on two grids, forces with the grid's response. No stability
    analysis, as the others have none."""
    from pyscf import gto

    from crosstalk import machine
    from crosstalk.engines import fields, scf

    machine.keep_freed_memory()
    level = json.loads(os.environ["CROSSTALK_BENCHMARK_LEVEL"])
    for name in names:
        start = time.time()
        mf = fields.mean_field(gto.M(atom=atoms[name], basis=BASIS, verbose=0, max_memory=3000), level)
        with tempfile.TemporaryDirectory() as folder:
            scf.solve(mf, level, Path(folder))
        fields.gradient(mf)
        tell(name, mf, start)


def plain(names: list[str], atoms: dict) -> None:
    """PySCF's defaults."""
    from pyscf import dft, gto

    for name in names:
        start = time.time()
        mf = dft.RKS(gto.M(atom=atoms[name], basis=BASIS, verbose=0), xc="b3lyp")
        mf.kernel()
        mf.nuc_grad_method().kernel()
        tell(name, mf, start)


def tell(name: str, mf: object, start: float) -> None:
    homo = mf.mo_energy[mf.mo_occ > 0][-1]  # type: ignore[attr-defined]
    print(json.dumps([name, time.time() - start, float(mf.e_tot), float(homo)]), flush=True)  # type: ignore[attr-defined]


def worker(way: str, names: list[str], threads: int) -> subprocess.Popen:
    """A process of its own, told its level as a job is, and with compiled modules kept as `make` keeps them."""
    from crosstalk.config import load

    level = load(ROOT / "config").levels[LEVEL].identity() | {"stability": False}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CROSSTALK_BENCHMARK_LEVEL": json.dumps(level)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        [sys.executable, __file__, "worker", way, *names], env=environment, stdout=subprocess.PIPE, text=True
    )


def psi4(names: list[str], atoms: dict, **variables: str) -> list[list]:
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            lines = "\n".join(f"{s} {x:.8f} {y:.8f} {z:.8f}" for s, (x, y, z) in atoms[name])
            text = f"memory 4 GB\nmolecule {{\n0 1\n{lines}\nsymmetry c1\n}}\nset basis {BASIS}\ng, w = gradient('b3lyp', return_wfn=True)\n"
            text += "print_out('RESULT %.10f %.8f\\n' % (w.energy(), w.epsilon_a().np[w.nalpha() - 1]))\n"
            Path(folder, "in.dat").write_text(text)
            start = time.time()
            subprocess.run(["psi4", "-n", "2", "in.dat", "out.dat"], cwd=folder, check=True, env=os.environ | variables)
            result = next(
                line for line in Path(folder, "out.dat").read_text().splitlines() if line.startswith("RESULT")
            )
            rows.append([name, time.time() - start, *map(float, result.split()[1:])])
    return rows


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        if sys.argv[2] == "ours":
            from crosstalk import machine

            machine.prepare()
        globals()[sys.argv[2]](sys.argv[3:], geometries())
        return
    atoms = geometries()
    work = [*NAMES, *NAMES]  # each twice, so that two processes have something to share
    totals = {}
    print("| way | molecule | s | energy (Ha) | HOMO (Ha) |\n|---|---|---:|---:|---:|")
    for way in ["ours", "plain", *sys.argv[1:]]:
        start = time.time()
        if way.startswith("psi4"):
            variables = {"OPENBLAS_NUM_THREADS": "1"} if way == "psi4-blas1" else {}
            rows, count = psi4(list(NAMES), atoms, **variables), len(NAMES)
        else:
            halves = [work[: len(work) // 2], work[len(work) // 2 :]] if way == "ours" else [list(NAMES)]
            children = [worker(way, names, 2 // len(halves)) for names in halves]
            rows = [json.loads(line) for child in children for line in child.communicate()[0].splitlines()]
            count = sum(map(len, halves))
        totals[way] = 3600 * count / (time.time() - start)
        for name, seconds, energy, homo in rows:
            print(f"| {way} | {name} | {seconds:.1f} | {energy:.8f} | {homo:.6f} |")
    print("\n| way | molecules per hour | ours over it |\n|---|---:|---:|")
    for way, rate in totals.items():
        print(f"| {way} | {rate:.0f} | {totals['ours'] / rate:.2f} |")


if __name__ == "__main__":
    main()
