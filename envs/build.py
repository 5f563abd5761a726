"""Build the locked environment in user space: `python3 envs/build.py [.venv]`.

Needs Python 3.11+ with its headers, a C++ compiler and the package index; no root, no conda, no system libraries.
A second call does nothing: the stamp in the environment holds a hash of the locks and of this recipe.
Standard library only, because nothing else is there yet.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import time

ENVS = pathlib.Path(__file__).resolve().parent
ROOT = ENVS.parent
RECIPE = ["requirements.lock", "gpaw.lock", "uv.lock.txt", "siteconfig.py", "build.py"]
NEEDED_GB = 3.0
# Read by tools that the build starts: an MPI launched as root refuses to run without these.
MPI_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def missing() -> list[str]:
    """What this machine lacks, one line each, with how to get it."""
    problems = []
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < (3, 11):  # noqa: UP036  (this file runs before any requirement is checked)
        problems.append(
            f"Python 3.11 or newer is needed, this is {version}: run `make PYTHON=python3.12`, or install it"
        )
    if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
        problems.append(f"Python's headers (Python.h) are missing: sudo apt install python{version}-dev")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        problems.append(f"Python's venv module is missing: sudo apt install python{version}-venv")
    if compiler() is None:
        problems.append("a C++ compiler is missing: sudo apt install g++ (or set CXX to yours)")
    if shutil.disk_usage(ROOT).free < NEEDED_GB * 1e9:
        problems.append(f"less than {NEEDED_GB:g} GB of disk are free where the environment goes: {ROOT}")
    return problems


def compiler() -> str | None:
    """The C++ compiler's path: $CXX, else the first of the usual names."""
    for name in [os.environ.get("CXX", ""), "c++", "g++", "clang++"]:
        if name and (found := shutil.which(name.split()[0])):
            return found
    return None


def recipe_hash() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in RECIPE:
        digest.update((ENVS / name).read_bytes())
    return digest.hexdigest()


def run(step: str, command: list[str], log: pathlib.Path, **env: str) -> None:
    """Run one step quietly; when it fails, show the end of its log and stop."""
    start = time.monotonic()
    print(f"  {step} ...", end="", flush=True)
    with log.open("a") as stream:
        stream.write(f"\n$ {' '.join(command)}\n")
        stream.flush()
        code = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ | env, check=False
        ).returncode
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        sys.exit(f" failed\n{tail}\n\nThe environment was not built: step '{step}' failed. Its whole log: {log}")
    print(f" {time.monotonic() - start:.0f} s", flush=True)


def fast_blas(packages: pathlib.Path, log: pathlib.Path) -> None:
    """Let tblite have PySCF's OpenBLAS in place of the reference BLAS that its wheel brings, three times slower.

    A library of the old one's name that holds nothing and needs the other. Nothing else in the process sees it.
    """
    pairs = list(
        zip(packages.glob("tblite.libs/libblas-*.so*"), packages.glob("pyscf/lib/libopenblas*.so*"), strict=False)
    )
    for slow, fast in pairs:
        slow.unlink()
        command = [
            str(compiler()),
            "-shared",
            "-nostdlib",
            "-x",
            "c++",
            os.devnull,
            "-x",
            "none",
            "-o",
            str(slow),
            "-Wl,--no-as-needed",
        ]
        command += ["-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/../pyscf/lib", f"-Wl,-soname,{slow.name}"]
        command += [f"-L{fast.parent}", f"-l:{fast.name}", "-Wl,--allow-shlib-undefined"]
        run("BLAS of tblite", command, log)


def build(target: pathlib.Path, log: pathlib.Path) -> None:
    bin_dir = target / "bin"
    python = str(bin_dir / "python")
    run("create", [sys.executable, "-m", "venv", "--clear", str(target)], log)
    pip = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    run("installer", [*pip, "-r", str(ENVS / "uv.lock.txt")], log)
    # uv is the fast way; where it cannot reach the index (a proxy that only pip is told of), pip does the same.
    uv = [str(bin_dir / "uv"), "pip", "install", "--python", python, "--require-hashes", "--no-deps", "--system-certs"]
    probe = [*uv, "--dry-run", "-r", str(ENVS / "requirements.lock")]
    fast = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    install = uv if fast else pip
    run("locked wheels" + ("" if fast else " (pip)"), [*install, "-r", str(ENVS / "requirements.lock")], log)
    fast_blas(pathlib.Path(next(iter(sorted(target.glob("lib*/python*/site-packages"))))), log)
    path = f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"
    gpaw_env = {"GPAW_CONFIG": str(ENVS / "siteconfig.py"), "OMPI_CXX": str(compiler()), "PATH": path} | MPI_AS_ROOT
    # Not from a cache: what was built for another environment is linked to that one's libraries.
    run(
        "GPAW from source",
        [*install, "--no-cache-dir", "--no-build-isolation", "-r", str(ENVS / "gpaw.lock")],
        log,
        **gpaw_env,
    )
    editable = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    run("crosstalk", editable, log)
    check = [
        "mpirun",
        "-n",
        "2",
        "--bind-to",
        "none",
        "--oversubscribe",
        "gpaw",
        "python",
        "-c",
        "from gpaw.mpi import world; assert world.size == 2",
    ]
    run("check: GPAW on two MPI ranks", check, log, **gpaw_env)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", default=".venv", type=pathlib.Path)
    target = parser.parse_args().target.absolute()
    stamp = target / "crosstalk-environment"
    if stamp.exists() and stamp.read_text() == recipe_hash():
        return
    if problems := missing():
        sys.exit("This machine lacks something:\n" + "\n".join(f"  - {p}" for p in problems))
    start = time.monotonic()
    print(f"Building the environment in {target} (once):", flush=True)
    log = target.with_name(target.name + ".log")
    log.write_text("")
    build(target, log)
    stamp.write_text(recipe_hash())
    print(f"  done in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
