"""Laws of the surface engine that only a real run can show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from pathlib import Path
from crosstalk.engines import gpaw
from crosstalk.runner import is_root_rank
from crosstalk.spec import Spec
from crosstalk.steps import Input
from crosstalk.structures import slabs
level = {"engine": "gpaw", "functional": "PBE", "mode": sys.argv[2], "cutoff_ev": 250.0, "basis": "dzp",
         "grid_spacing_angstrom": 0.2, "dispersion": "d3bj", "kpoint_spacing_per_angstrom": 0.9, "smearing_ev": 0.05,
         "dipole_correction": True, "energy_tolerance_ev": 1e-5, "density_tolerance": 1e-4, "max_iterations": 100}
folder = Path(sys.argv[1])
spec = Spec("surface_energy", "gpaw", {"level": level, "index": 0}, {"geometry": "0"}, 1)
slab = slabs.graphite_basal(2.46, 3.35, 2)
outcome = gpaw.surface_energy(spec, {"geometry": Input(None, [slab])}, folder)
if is_root_rank():
    (folder / "outcome.json").write_text(json.dumps(outcome.quantities))
"""


def on_ranks(n: int, mode: str, folder: Path) -> dict[str, float]:
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    bin_dir = Path(sys.executable).parent
    environment = os.environ | {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMP_NUM_THREADS": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    launch = ["mpirun", "-n", str(n), "--bind-to", "none", "--oversubscribe", "gpaw", "python"]
    command = [*launch, str(folder / "program.py"), str(folder), mode]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads((folder / "outcome.json").read_text())


@pytest.mark.parametrize("mode", ["pw", "lcao"])
def test_the_number_of_ranks_changes_no_number(mode: str, tmp_path: Path) -> None:
    one, two = on_ranks(1, mode, tmp_path / "one"), on_ranks(2, mode, tmp_path / "two")
    assert one.keys() == two.keys()
    for name in ("energy_ev", "dispersion_ev", "work_function_ev", "work_function_bottom_ev", "vbm_ev"):
        assert two[name] == pytest.approx(one[name], abs=1e-3), name
