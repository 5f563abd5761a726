"""What the engines know: functionals, basis sets, dispersion parameters, PAW datasets. Asked without starting an engine.

Answers about PySCF cost its import, over a second, so they are remembered (`config.memo`).
"""

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from ase.data import chemical_symbols

from crosstalk.config.memo import remembered
from crosstalk.config.models import AseLevel, FakeLevel, GpawLevel, Level, PyscfLevel, XtbLevel
from crosstalk.errors import nearest


def pyscf_problems(level: PyscfLevel) -> Iterator[str]:
    """Unknown functional, basis, auxiliary basis or dispersion of a molecular level."""
    if text := remembered(f"functional {level.functional}", lambda: _functional(level.functional)):
        yield f"key 'functional': {text}"
    for key in ("basis", "density_fit"):
        name = getattr(level, key)
        if name is not None and (text := remembered(f"basis {name} C", partial(_basis, name, "C"))):
            yield f"key '{key}': {text}"
    if level.dispersion is not None:
        from crosstalk.engines.corrections import supported

        answer = supported(level.functional, level.dispersion)
        if answer is not True:
            yield f"key 'dispersion': {answer or f'{level.dispersion!r} has no parameters for {level.functional}'}"
    if level.basis_correction not in (None, "r2scan3c"):
        yield f"key 'basis_correction': unknown correction '{level.basis_correction}'; allowed: r2scan3c, null{nearest(level.basis_correction, ['r2scan3c'])}"


def gpaw_problems(level: GpawLevel) -> Iterator[str]:
    """Functionals without PAW datasets of their own run with PBE's: only those that GPAW itself offers are allowed."""
    allowed = ["PBE", "RPBE", "revPBE", "LDA", "BEEF-vdW", "PBEsol"]
    if level.functional not in allowed:
        yield f"key 'functional': unknown functional '{level.functional}'; allowed: {', '.join(allowed)}{nearest(level.functional, allowed)}"
    if level.mode == "lcao" and level.basis not in ("sz", "szp", "dz", "dzp"):
        yield f"key 'basis': unknown LCAO basis '{level.basis}'; allowed: dzp{nearest(level.basis or '', ['dzp', 'szp', 'dz', 'sz'])}"
    if level.dispersion is not None and level.functional in ("LDA", "BEEF-vdW", "PBEsol"):
        yield f"key 'dispersion': {level.dispersion} is not used with {level.functional}; allowed: null"
    if level.magnetic_moments is not None:
        for element in level.magnetic_moments:
            if element not in chemical_symbols[1:]:
                yield f"key 'magnetic_moments': unknown element '{element}'{nearest(element, chemical_symbols[1:])}"
        if not any(level.magnetic_moments.values()):
            yield "key 'magnetic_moments': all are zero, from where no moment grows: give one that is not, or null"
        if level.functional == "BEEF-vdW":
            yield "key 'magnetic_moments': the ensemble of BEEF-vdW is for paired electrons only; allowed: null"


def ase_problems(level: AseLevel) -> Iterator[str]:
    """A module that cannot be found. What it holds is seen when it runs: machine-learned potentials are slow to import."""
    module = level.calculator.partition(":")[0]
    try:
        there = importlib.util.find_spec(module) is not None
    except ImportError:
        there = False
    if not there:
        yield f"key 'calculator': no module '{module}' in this environment: install the package that holds it"


def element_problems(level: Level, elements: Sequence[str]) -> Iterator[str]:
    """Elements that a level's basis set or PAW datasets lack."""
    if isinstance(level, PyscfLevel):
        for element in elements:
            if text := remembered(f"basis {level.basis} {element}", partial(_basis, level.basis, element)):
                yield text
    elif isinstance(level, GpawLevel):
        kind = "LDA" if level.functional == "LDA" else "PBE"
        for element in elements:
            if f"{element}.{kind}" not in _paw_datasets():
                yield f"no PAW dataset {element}.{kind} is installed"
    else:
        assert isinstance(level, XtbLevel | AseLevel | FakeLevel)


@cache
def _paw_datasets() -> frozenset[str]:
    spec = importlib.util.find_spec("gpaw_data")
    if spec is None or spec.submodule_search_locations is None:
        return frozenset()
    folder = Path(next(iter(spec.submodule_search_locations)), "setups")
    return frozenset(path.name.removesuffix(".gz") for path in folder.iterdir())


def _functional(name: str) -> str:
    from pyscf.dft import libxc

    from crosstalk.engines.corrections import REPLACED_VV10

    if name.lower() in REPLACED_VV10:
        return ""
    try:
        libxc.parse_xc(name)
    except Exception:
        return f"unknown functional '{name}'{nearest(name, [*libxc.XC_CODES, *libxc.XC_ALIAS])}"
    return ""


def _basis(name: str, element: str) -> str:
    import warnings

    from pyscf.gto import basis

    def loads(symbol: str) -> bool:
        try:
            return bool(basis.load(name, symbol))
        except Exception:
            return False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an advice to install another package
        if loads(element):
            return ""
        if any(loads(symbol) for symbol in ("H", "C", "O", "Li", "Si")):
            return f"basis '{name}' has no functions for {element}"
    return f"unknown basis '{name}'{nearest(name, basis.ALIAS)}"
