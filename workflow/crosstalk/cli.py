"""`crosstalk`: by hand whatever a rule does. Imports late, because a job must start fast."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crosstalk import machine

machine.prepare()

from crosstalk.errors import CrosstalkError  # noqa: E402  (after the libraries under numpy were told how to run)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Errors that the user can mend are one message on stderr, exit status 1."""
    options = parser().parse_args(arguments)
    try:
        sys.exit(options.command(options))
    except CrosstalkError as error:
        sys.exit(f"crosstalk: {error}")
    except BrokenPipeError:
        sys.exit(0)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="crosstalk", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    def of_campaign(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("campaign", nargs="?", help="campaign; the default one of config.yaml when left out")
        sub.add_argument("--config-dir", type=Path, default=Path("config"), help="folder of the config files")
        sub.add_argument(
            "--engine", choices=["fake"], help="replace every engine by made-up numbers (a test of the workflow)"
        )

    check = add("check", _check, "check all config files; nothing is run")
    check.add_argument("--config-dir", type=Path, default=Path("config"))
    check.add_argument("--campaigns", action="store_true", help="print the names of the campaigns, one a line")
    plan = add("plan", _plan, "list every calculation of a campaign with its estimated cost")
    of_campaign(plan)
    plan.add_argument("--json", action="store_true", help="specs as JSON")
    run = add(
        "run",
        _run,
        "run calculations: those given by --specs, or those of a campaign by label or key, with all that they need",
    )
    run.add_argument("what", nargs="*", help="words of a label, or a key's beginning; nothing: the whole campaign")
    run.add_argument("--campaign", help="campaign; the default one when left out")
    run.add_argument("--config-dir", type=Path, default=Path("config"))
    run.add_argument("--engine", choices=["fake"])
    run.add_argument("--specs", help="specs as JSON, instead of a campaign's (this is how a rule calls)")
    run.add_argument("--job", type=Path, help="file to write when all is done")
    run.add_argument(
        "--log", type=Path, help="where everything that is printed goes, but for one line for each calculation"
    )
    run.add_argument("--ranks", type=int, default=1, help="MPI ranks for GPAW")
    run.add_argument(
        "--also", type=Path, action="append", default=[], help="store of finished records that may be taken up"
    )
    run.add_argument("--fresh", action="store_true", help="compute again what is finished")
    for name, function, text in (
        ("table", _table, "write tables, claims and summary from the records that are there"),
        ("figure", _figure, "draw the figures and the structures"),
        ("database", _database, "write the ASE database of final structures"),
        ("publish", _publish, "copy a finished campaign with all its records to results/published, to be committed"),
        ("cite", _cite, "what to cite for a campaign: methods, engines, sources of species and surfaces"),
        ("status", _status, "what is done, running, failed and left"),
    ):
        of_campaign(sub := add(name, function, text))
        if name == "publish":
            sub.add_argument("--partial", action="store_true", help="publish an unfinished campaign as far as it goes")
    surface = add("surface", _surface, "build surfaces as their entries say: facts, a structure file and a picture")
    surface.add_argument("names", nargs="+", metavar="NAME")
    surface.add_argument("--config-dir", type=Path, default=Path("config"))
    surface.add_argument("--to", type=Path, default=Path(), help="folder of the files")
    glass = add("glass", _glass, "make the file of a glass of glasses.yaml, once (minutes for each seed)")
    glass.add_argument("name")
    glass.add_argument("--config-dir", type=Path, default=Path("config"))
    glass.add_argument("--to", type=Path, help="file to write instead of the one that the entry names")
    show = add("show", _show, "print a record by its key's beginning")
    show.add_argument("key")
    schema = add("schema", _schema, "write the JSON schemas of the config files")
    schema.add_argument("folder", type=Path, nargs="?", default=Path("workflow/schemas"))
    return top


def _plan_of(options: argparse.Namespace) -> Any:
    from crosstalk.plan import load_plan

    return load_plan(options.config_dir, options.campaign, options.engine)


def _campaign_of(options: argparse.Namespace) -> Any:
    from crosstalk.campaign import Campaign

    return Campaign(_plan_of(options))


def _store_of(campaign: Any) -> Any:
    from crosstalk.record import Store

    return Store("results", tuple(campaign.published))


def _check(options: argparse.Namespace) -> int:
    from crosstalk.config import load

    config = load(options.config_dir)
    if options.campaigns:
        print("\n".join(config.campaigns))
        return 0
    counts = (
        f"{len(getattr(config, part))} {part}"
        for part in ("campaigns", "species", "surfaces", "crystals", "levels", "references", "claims")
    )
    print(f"{options.config_dir}: no problems: {', '.join(counts)}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from crosstalk.reporting import listing

    campaign = _campaign_of(options)
    plan = campaign.plan
    if options.json:
        print(
            json.dumps(
                [spec.to_json() | {"key": spec.key, "cost_s": spec.cost_s} for spec in plan.specs.values()], indent=1
            )
        )
    else:
        listing.show(plan, _store_of(campaign))
    return 0


def _run(options: argparse.Namespace) -> int:
    from crosstalk.campaign import Campaign
    from crosstalk.execute import run_by_hand, run_job

    if options.specs is not None:
        return run_job(options)
    campaign = Campaign(_plan_of(options), fresh=options.fresh)
    options.also += campaign.published
    return run_by_hand(options, campaign.plan)


def _table(options: argparse.Namespace) -> int:
    from crosstalk.reporting import summary, tables

    campaign = _campaign_of(options)
    tables.collect(campaign.plan, _store_of(campaign), campaign.folder)
    summary.write(campaign.plan, _store_of(campaign), campaign.folder)
    return 0


def _figure(options: argparse.Namespace) -> int:
    from crosstalk.reporting import figures

    campaign = _campaign_of(options)
    figures.draw(campaign.plan, _store_of(campaign), campaign.folder)
    return 0


def _database(options: argparse.Namespace) -> int:
    from crosstalk.reporting import database

    campaign = _campaign_of(options)
    database.write(campaign.plan, _store_of(campaign), campaign.folder / "crosstalk.db")
    return 0


def _status(options: argparse.Namespace) -> int:
    campaign = _campaign_of(options)
    if campaign.progress.path.exists():
        print(campaign.progress.line())
    print(campaign.ending(_store_of(campaign), failed=False))
    return 0


def _publish(options: argparse.Namespace) -> int:
    from crosstalk.reporting.publish import publish

    campaign = _campaign_of(options)
    target = Path("results/published", campaign.name)
    count = publish(campaign.plan, _store_of(campaign), campaign.folder, target, options.partial)
    print(f"{target}: {count} records with tables, figures and summary")
    return 0


def _cite(options: argparse.Namespace) -> int:
    from crosstalk.reporting import citations

    print(citations.text(_plan_of(options)), end="")
    return 0


def _show(options: argparse.Namespace) -> int:
    from crosstalk.errors import MissingRecordError

    paths = sorted(Path("results").glob(f"records/*/{options.key}*.json")) + sorted(
        Path("results/published").glob(f"*/records/*/{options.key}*.json")
    )
    found = [path for path in paths if not path.name.endswith(".cost.json")]
    if not found:
        raise MissingRecordError(f"no record whose key begins with '{options.key}' in results/")
    print(found[0].read_text(), end="")
    return 0


def _surface(options: argparse.Namespace) -> int:
    from crosstalk.config import load
    from crosstalk.reporting import preview

    config = load(options.config_dir)
    for name in options.names:
        for line in preview.surface(name, config, options.to):
            print(line)
    return 0


def _glass(options: argparse.Namespace) -> int:
    import crosstalk
    from crosstalk.config import load
    from crosstalk.errors import nearest
    from crosstalk.structures import glass

    config = load(options.config_dir)
    if options.name not in config.glasses:
        allowed = ", ".join(config.glasses) or "none"
        raise CrosstalkError(f"no glass '{options.name}'; allowed: {allowed}{nearest(options.name, config.glasses)}")
    entry = config.glasses[options.name]
    glasses = glass.made(entry.recipe(), lambda text: print(text, flush=True))
    path = options.to or options.config_dir / entry.file
    path.write_text(glass.text(options.name, entry.recipe(), glasses, crosstalk.__version__))
    print(f"{path}: seed {glasses[0].seed}")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from crosstalk.config import schema

    schema.write(options.folder)
    return 0


if __name__ == "__main__":
    main()
