"""What to cite for a campaign. Read from the config when asked, so that an edited DOI is right at once and reruns nothing."""

from crosstalk.plan import Plan

#: Engine -> its own publication.
ENGINES = {
    "pyscf": "PySCF: 10.1063/5.0006074",
    "gpaw": "GPAW: 10.1063/5.0182685",
    "xtb": "tblite (xTB): 10.1002/wcms.1493",
}
ALWAYS = ("ASE: 10.1088/1361-648X/aa680e", "Snakemake: 10.12688/f1000research.29032.3")


def text(plan: Plan) -> str:
    """Methods, engines and the sources of the campaign's entries, as plain text."""
    config = plan.config
    levels = {spec.settings["level"]["engine"]: None for spec in plan.specs.values() if spec.settings["level"]}
    used = [spec.settings["level"] for spec in plan.specs.values()]
    names = {value for entry in plan.entries for value in entry.subject.values()}
    lines = ["Methods"]
    lines += [
        f"  {name}: {level.doi or 'no DOI in levels.yaml'}"
        for name, level in config.levels.items()
        if level.identity() in used or name in names
    ]
    lines += [
        "Programs",
        *(f"  {ENGINES[engine]}" for engine in levels if engine in ENGINES),
        *(f"  {line}" for line in ALWAYS),
    ]
    sources = [
        f"  {name}: {entry.source}"
        for kind in (config.species, config.surfaces, config.crystals)
        for name, entry in kind.items()
        if name in names and entry.source
    ]
    return "\n".join([*lines, "Structures", *sources]) + "\n"
