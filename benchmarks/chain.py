"""From SMILES to frontier levels at B3LYP-D3(BJ)/6-311++G(d,p) for 20 carbonates: ours against a plain script.

    python benchmarks/chain.py ours [NAME ...]     conformers (GFN2), order and geometry (r2SCAN-3c), levels; two cores
    python benchmarks/chain.py plain [NAME ...]    one embedding, optimised at the final level with PySCF's defaults; one core

Prints CPU seconds of each molecule (fair on a machine with neighbours), HOMO and LUMO in eV. All 20 the plain way take
about a day, so a few may stand for them: say which.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

CARBONATES = {
    "DMC": "COC(=O)OC", "EC": "O=C1OCCO1", "VC": "O=C1OC=CO1", "FEC": "O=C1OCC(F)O1", "PC": "CC1COC(=O)O1",
    "EMC": "CCOC(=O)OC", "MEC": "C=C1COC(=O)O1", "DFEC": "O=C1OC(F)C(F)O1", "BC": "CCC1COC(=O)O1", "23BC": "CC1OC(=O)OC1C",
    "VEC": "C=CC1COC(=O)O1", "DEC": "CCOC(=O)OCC", "MPC": "CCCOC(=O)OC", "MIPC": "CC(C)OC(=O)OC", "TMC": "O=C1OCCCO1",
    "AMC": "C=CCOC(=O)OC", "PMC": "C#CCOC(=O)OC", "FDMC": "FCOC(=O)OC", "TFEMC": "FC(F)(F)COC(=O)OC", "EPC": "CCCOC(=O)OCC",
}  # fmt: skip
LEVEL = "b3lyp-d3/6-311++g**"
BASIS = "6-311++g(d,p)"


def ours(names: list[str]) -> None:
    """A campaign of the shipped workflow with the shipped standard tier, without its frequencies."""
    from workflow import ROOT, timed, workplace

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workplace(folder, [])
        species = {n: {"smiles": CARBONATES[n], "groups": ["chains"]} for n in names}
        shipped = yaml.safe_load((ROOT / "config/species.yaml").read_text())["species"]
        path = folder / "config/species.yaml"
        path.write_text(yaml.safe_dump({"species": {k: v for k, v in shipped.items() if k not in species}}))
        (folder / "config/reactions.yaml").write_text("reactions: {}\n")
        (folder / "config/sets/chains/species.yaml").write_text(yaml.safe_dump({"species": species}))
        levels = yaml.safe_load((folder / "config/levels.yaml").read_text())
        tier = levels["tiers"]["quick"] = levels["tiers"]["standard"]
        del tier["thermochemistry"]
        tier["observables"]["frontier"] = {"levels": [LEVEL], "ionisation": []}
        (folder / "config/levels.yaml").write_text(yaml.safe_dump(levels))
        wall, _ = timed(folder, engine="real")
        spent: dict[str, float] = {}
        for path in (folder / "results/records").rglob("*.cost.json"):
            label = json.loads(path.with_name(path.name.replace(".cost", "")).read_text())["spec"]["label"]
            who = next(n for n in names if label == n or label.startswith(f"{n} at"))
            spent[who] = spent.get(who, 0.0) + json.loads(path.read_text())["cpu_s"]
        table = (folder / "results/many/tables/frontier.csv").read_text()
    for who, seconds in spent.items():
        print(f"| ours | {who} | {seconds:.0f} s CPU |", flush=True)
    print(f"| ours | all {len(names)}, wall on two cores | {wall:.0f} s |\n\n{table}")


def plain(names: list[str]) -> None:
    """Each molecule in a process of its own."""
    for name in names:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, __file__, "one", name]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        answer = done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stderr[-500:]
        print(
            f"| plain | {name} | {seconds:.0f} s CPU | {time.monotonic() - start:.0f} s wall | {answer} |", flush=True
        )


def one(name: str) -> None:
    """What a script from a tutorial does."""
    from pyscf import dft, gto
    from pyscf.geomopt.geometric_solver import optimize
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles(CARBONATES[name]))
    AllChem.EmbedMolecule(molecule, randomSeed=1)
    AllChem.MMFFOptimizeMolecule(molecule)
    atoms = list(zip([a.GetSymbol() for a in molecule.GetAtoms()], molecule.GetConformer().GetPositions().tolist(), strict=True))  # fmt: skip

    def field(mol: object) -> object:
        mf = dft.RKS(mol, xc="b3lyp")
        mf.disp = "d3bj"
        return mf

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        mf = field(optimize(field(gto.M(atom=atoms, basis=BASIS, verbose=0)), maxsteps=100))
        mf.kernel()  # type: ignore[attr-defined]
    levels, occupied = mf.mo_energy * 27.211386245988, mf.mo_occ > 0  # type: ignore[attr-defined]
    print(f"HOMO {levels[occupied][-1]:.3f}, LUMO {levels[~occupied][0]:.3f} eV")


if __name__ == "__main__":
    {"ours": ours, "plain": plain, "one": lambda names: one(names[0])}[sys.argv[1]](sys.argv[2:] or list(CARBONATES))
