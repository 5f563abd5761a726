"""What the workflow itself costs: the fake engine on made-up species, through the real Snakefile.

    python benchmarks/workflow.py            200 calculations run, and a dry run of 10,000
    python benchmarks/workflow.py 50 1000    other sizes

Prints one markdown row for each. Run it on a quiet machine; the committed table is benchmarks/README.md.
"""

import itertools
import os
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


def workplace(folder: Path, calculations: int) -> None:
    """A config whose campaign has that many calculations."""
    config = Path(shutil.copytree(ROOT / "config", folder / "config"))
    species = {
        f"chain {i}": {"smiles": s, "groups": ["chains"]} for i, s in enumerate(chains(calculations // PER_SPECIES))
    }
    (config / "species.yaml").write_text(yaml.safe_dump({"species": species}))
    campaign = {"tier": "quick", "observables": {"frontier": {"species": ["chains"]}}}
    (config / "config.yaml").write_text(yaml.safe_dump({"default": "many", "campaigns": {"many": campaign}}))
    (config / "claims.yaml").write_text("claims: {}\n")
    (config / "references.yaml").write_text("references: {}\n")


def timed(folder: Path, *arguments: str) -> float:
    command = [
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--profile",
        str(ROOT / "workflow/profiles/default"),
        "--cores",
        "2",
    ]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    start = time.monotonic()
    done = subprocess.run([*command, *arguments, "--config", "engine=fake", "config_dir=config"], cwd=folder, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.monotonic() - start


def main() -> None:
    sizes = [int(a) for a in sys.argv[1:]] or [200, 10_000]
    for number, (size, arguments) in enumerate(zip(sizes, [(), ("--dry-run",)], strict=False)):
        with tempfile.TemporaryDirectory() as name:
            workplace(Path(name), size)
            seconds = timed(Path(name), *arguments)
            again = timed(Path(name)) if number == 0 else 0.0
        what = "dry run" if arguments else "run"
        print(f"| {what} of {size} calculations | {seconds:.1f} s | {seconds / size * 1000:.0f} ms |", flush=True)
        if again:
            print(f"| second run, nothing to do | {again:.1f} s | |", flush=True)


if __name__ == "__main__":
    main()
