"""A campaign under a real SLURM on this machine: one node, no accounting, as Debian's slurm-wlm and munge make it."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, Workplace

#: Where clients look in a job, whose SLURM_* variables the workflow manager takes away.
SYSTEM_CONFIG = Path("/etc/slurm/slurm.conf")
CLUSTER = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def left_behind() -> bool:
    """Whether the machine's config is that of a test that was killed, and its daemon is gone."""
    text = SYSTEM_CONFIG.read_text()
    found = re.search(r"^SlurmctldPidFile=(.*)$", text, re.MULTILINE)
    if not text.startswith(CLUSTER.splitlines()[0]) or found is None:
        return False
    pid = Path(found[1])
    return not (pid.exists() and Path("/proc", pid.read_text().strip()).exists())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    for program in ("munged", "slurmctld", "slurmd", "sbatch"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"no {program} here (Debian: slurm-wlm and munge)")
    if os.geteuid() != 0:
        pytest.skip("only root can start a SLURM")
    if SYSTEM_CONFIG.exists() and not left_behind():
        pytest.skip(f"{SYSTEM_CONFIG} exists: this machine belongs to a cluster")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for parent in (folder, *folder.parents[:2]):  # others than root have to reach the socket
        parent.chmod(0o755)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    host = socket.gethostname().split(".")[0]
    SYSTEM_CONFIG.parent.mkdir(exist_ok=True)
    SYSTEM_CONFIG.write_text(CLUSTER.format(host=host, folder=folder, ports=ports))
    munged = ["munged", "--force", "--foreground", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"]
    munged += [f"--{name}={folder}/munged.{name[:-5]}" for name in ("pid-file", "log-file", "seed-file")]
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    started = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))  # fmt: skip
            time.sleep(1)
        deadline = time.monotonic() + 60
        while subprocess.run(["sinfo", "-h", "-t", "idle", "-o", "%n"], capture_output=True, text=True).stdout.strip() != host:  # fmt: skip
            logs = "\n".join(p.read_text()[-2000:] for p in folder.glob("*.log"))
            assert time.monotonic() < deadline, f"SLURM did not start:\n{logs}"
            time.sleep(1)
        yield
    finally:
        for daemon in reversed(started):
            daemon.terminate()
            daemon.wait(timeout=30)
        SYSTEM_CONFIG.unlink()


@pytest.fixture(scope="module")
def finished(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A surface and its work function: GPAW under MPI within a job's own allocation."""
    folder = tmp_path_factory.mktemp("clustered")
    shutil.copytree(ROOT / "tests" / "tiny" / "config", folder / "config")
    path = folder / "config" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["campaigns"]["tiny"]["observables"] = {"surfaces": {"surfaces": ["graphene"]}}
    path.write_text(yaml.safe_dump(config))
    workplace = Workplace(folder, profile="slurm")
    workplace.run("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2", engine="real")
    return workplace


def requests() -> dict[str, dict[str, str]]:
    """What each job of the run asked SLURM for: rule -> its fields. A job's own log lies under its rule's name."""
    jobs = {}
    for block in slurm("scontrol", "show", "job").strip().split("\n\n"):
        fields = dict(part.split("=", 1) for part in block.split() if "=" in part)
        rule = re.search(r"slurm_logs/rule_(\w+)/", fields["StdOut"])
        assert rule, block
        jobs[rule[1]] = fields
    return jobs


def every_rule_became_a_job_that_asked_for_what_the_plan_predicts(finished: Workplace) -> None:
    jobs = requests()
    assert {"build_slabs", "compute_surfaces"} <= set(jobs)
    assert all(job["JobState"] == "COMPLETED" for job in jobs.values())
    surfaces = jobs["compute_surfaces"]
    assert surfaces["NumCPUs"] == "2" and surfaces["NumNodes"] == "1"
    assert 0 < int(surfaces["MinMemoryNode"].removesuffix("M")) <= 4000
    hours, minutes, _ = surfaces["TimeLimit"].split(":")
    assert 0 < 60 * int(hours) + int(minutes) < 60


def gpaw_ran_on_the_cores_of_its_job(finished: Workplace) -> None:
    (log,) = finished.folder.glob("results/work/*/gpaw.txt")
    assert re.search(r"^cores:\s+2$", log.read_text(), re.MULTILINE), log.read_text()[:1000]


def a_workstation_goes_on_from_there(finished: Workplace) -> None:
    table = (finished.folder / "results/tiny/tables/surfaces.csv").read_text()
    assert ",ok," in table
    finished = Workplace(finished.folder)
    before = finished.records()
    finished.run(engine="real")
    assert finished.records() == before, "a workstation takes up what the cluster computed"


def test_a_campaign_runs_under_slurm(finished):
    """One test, so that one process has the cluster to itself."""
    every_rule_became_a_job_that_asked_for_what_the_plan_predicts(finished)
    gpaw_ran_on_the_cores_of_its_job(finished)
    a_workstation_goes_on_from_there(finished)
