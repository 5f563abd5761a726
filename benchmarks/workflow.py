"""What the workflow itself costs: made-up species through the real Snakefile.

    python benchmarks/workflow.py                     200 calculations run, and a dry run of 10,000 (fake engine)
    python benchmarks/workflow.py 50 1000             other sizes
    python benchmarks/workflow.py species 10 50 200   from config to table for so many species: fake engine, and GFN2 conformers

Prints one markdown row for each. Run it on a quiet machine; the committed table is benchmarks/README.md.
"""

import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PER_SPECIES = 5  # conformers, and at two levels the neutral and the cation


def chains(count: int) -> list[str]:
    """SMILES of `count` different saturated chains."""
    from crosstalk.structures.molecules import canonical_smiles

    found: dict[str, None] = {}
    for length in itertools.count(2):
        for letters in itertools.product("CON", repeat=length):
            found[canonical_smiles("C" + "".join(letters))] = None
            if len(found) == count:
                return list(found)
    raise AssertionError


def workplace(folder: Path, smiles: list[str]) -> None:
    """A config whose campaign is the frontier levels of these molecules."""
    config = Path(shutil.copytree(ROOT / "config", folder / "config"))
    species = {f"chain {i}": {"smiles": s, "groups": ["chains"]} for i, s in enumerate(smiles)}
    (config / "sets/chains").mkdir()
    (config / "sets/chains/species.yaml").write_text(yaml.safe_dump({"species": species}))
    campaign = {"tier": "quick", "observables": {"frontier": {"species": ["chains"]}}}
    (config / "config.yaml").write_text(yaml.safe_dump({"default": "many", "campaigns": {"many": campaign}}))


def only_conformers(folder: Path) -> None:
    """Make the tier search conformers with GFN2 and take all other numbers from the fake engine."""
    path = folder / "config/levels.yaml"
    levels = yaml.safe_load(path.read_text())
    levels["levels"]["made up"] = {"engine": "fake", "method": "any"}
    quick = levels["tiers"]["quick"]
    quick["conformers"] = {"level": "gfn2", "max_embeddings": 10}
    quick["observables"]["frontier"] = {"levels": ["made up"], "ionisation": ["made up"]}
    path.write_text(yaml.safe_dump(levels))


def timed(folder: Path, *arguments: str, engine: str = "fake") -> tuple[float, float]:
    """Seconds by the clock and of CPU, all processes together."""
    command = [
        "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "workflow/profiles/default"), "--cores", "2",
        *arguments, "--config", *(["engine=fake"] if engine == "fake" else []), "config_dir=config",
    ]  # fmt: skip
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, cpu


def growth(counts: list[int]) -> None:
    """Seconds by the clock, and of CPU in all and for each, from config to table for more and more molecules of one size."""
    pool = [s for s in chains(1200) if s.count("C") + s.count("O") + s.count("N") == 6]
    for engine in ("fake", "xtb"):
        for count in counts:
            with tempfile.TemporaryDirectory() as name:
                workplace(Path(name), pool[:: max(1, len(pool) // count)][:count])
                if engine == "xtb":
                    only_conformers(Path(name))
                wall, cpu = timed(Path(name), engine=engine)
            print(f"| {engine} | {count} | {wall:.1f} s | {cpu:.1f} s | {cpu / count:.2f} s |", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["species"]:
        growth([int(a) for a in sys.argv[2:]] or [10, 50, 200])
        return
    sizes = [int(a) for a in sys.argv[1:]] or [200, 10_000]
    for number, (size, arguments) in enumerate(zip(sizes, [(), ("--dry-run",)], strict=False)):
        with tempfile.TemporaryDirectory() as name:
            workplace(Path(name), chains(size // PER_SPECIES))
            seconds, _ = timed(Path(name), *arguments)
            again = timed(Path(name))[0] if number == 0 else 0.0
        what = "dry run" if arguments else "run"
        print(f"| {what} of {size} calculations | {seconds:.1f} s | {seconds / size * 1000:.0f} ms |", flush=True)
        if again:
            print(f"| second run, nothing to do | {again:.1f} s | |", flush=True)


if __name__ == "__main__":
    main()
