"""Jobs: every calculation in exactly one, none twice, and a new entry leaves the others as they were."""

import json
from collections import Counter
from pathlib import Path

import pytest

from crosstalk import cli, execute
from crosstalk.config import load
from crosstalk.costs import MEMORY_MARGIN, Experience, left, teach
from crosstalk.jobs import jobs, minutes
from crosstalk.observables.base import observables
from crosstalk.plan import make
from crosstalk.progress import Progress, clock
from crosstalk.record import Store
from crosstalk.steps import STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan():
    return make(load(ROOT / "config"))


def test_every_calculation_is_in_one_job(plan):
    count = Counter(spec.key for job in jobs(plan).values() for spec in job.specs)
    assert set(count) == set(plan.specs) and set(count.values()) == {1}


def test_jobs_need_the_jobs_of_their_inputs(plan):
    every = jobs(plan)
    home = {spec.key: path for path, job in every.items() for spec in job.specs}
    for path, job in every.items():
        for spec in job.specs:
            for key in spec.inputs.values():
                assert home[key] in job.needs or home[key] == path
        assert path not in job.needs
        assert job.rule == STEPS[job.specs[0].step].rule
        assert minutes(job.seconds) > 5 and all(spec.memory_mb > 0 for spec in job.specs)


def test_a_new_molecule_leaves_the_jobs_of_the_others(plan, config_dir, edit):
    edit("species", "species.acetone", {"smiles": "CC(C)=O", "groups": ["paper-electrolyte"]})
    grown = jobs(make(load(config_dir)))
    assert set(jobs(plan)) < set(grown)


def test_the_fake_engine_has_the_same_shape(plan):
    fake = make(load(ROOT / "config"), engine="fake")
    assert len(fake.specs) == len(plan.specs) and not set(fake.specs) & set(plan.specs)
    assert {spec.engine for spec in fake.specs.values()} == {"fake"}


def test_slab_molecule_and_filter_are_shared_by_poses_and_observables(plan):
    steps = Counter(spec.step for spec in plan.specs.values())
    surfaces = {entry.subject["surface"] for entry in plan.table("surfaces")} | {
        entry.subject["surface"] for entry in plan.table("adsorption")
    }
    assert steps["slab"] == len(surfaces) == steps["poses"]


def test_settings_hold_what_steps_say(plan):
    """Every setting that a spec carries is documented in steps.py."""
    import crosstalk.steps

    text = crosstalk.steps.__doc__ or ""
    for spec in plan.specs.values():
        for name in spec.settings:
            assert name in text, f"{spec.step}: {name}"


def test_observables_declare_their_columns():
    for observable in observables().values():
        assert observable.columns[-4:] == ("status", "reason", "gates", "record")
        assert observable.sign and observable.title


def test_progress_counts(tmp_path):
    progress = Progress(tmp_path / "progress.log")
    progress.start("x")  # no run: nothing happens
    progress.begin(4, ["a"])
    progress.start("b")
    progress.start("c")
    progress.finish("b")
    done, running, total, seconds = progress.counts()
    assert (done, running, total) == (2, 1, 4) and 0 <= seconds < 5
    assert "2/4 done, 1 running, 1 left" in progress.line()
    assert clock(59.6) == "1:00" and clock(3723) == "1:02:03"


@pytest.mark.parametrize(
    ("cores", "said"),
    [(1, "3 to do; about 2:00:00 on 1 core"), (4, "3 to do; about 30:00 on 4 cores"), (None, "3 to do; about 2:00:00 of one core")],
)  # fmt: skip
def test_how_long_a_run_takes_is_told_for_the_cores_that_it_has(cores, said):
    from crosstalk.progress import left_to_do

    assert left_to_do(3, 7200.0, cores) == said
    assert left_to_do(0, 0.0, cores) == "none to do"


def test_what_is_left_is_learned_from_what_finished_did_cost(plan, tmp_path):
    store = Store(tmp_path)
    specs = [spec for spec in plan.specs.values() if spec.step == "molecule_energy"]
    searches = [spec for spec in plan.specs.values() if spec.step == "conformers"]
    assert left(specs, store) == (specs, sum(spec.cost_s for spec in specs))
    for spec in specs[:-1]:
        store.path(spec).parent.mkdir(parents=True, exist_ok=True)
        store.path(spec).write_text("{}")
        spent = {"cpu_s": 3 * spec.cost_s, "peak_memory_mb": 2 * spec.memory_mb}
        store.cost_path(spec).write_text(json.dumps(spent))
    unfinished, seconds = left([*specs, *searches], store)
    assert unfinished == [specs[-1], *searches]
    assert seconds == pytest.approx(3 * specs[-1].cost_s + sum(spec.cost_s for spec in searches))
    elsewhere = Store(tmp_path / "empty", (tmp_path,))  # records that may be taken up teach as well
    assert left(specs, elsewhere)[0] == [specs[-1]]
    taught = Experience.of(specs, elsewhere)
    assert taught.seconds(specs[-1]) == pytest.approx(3 * specs[-1].cost_s)
    assert taught.memory_mb(specs[-1]) == pytest.approx(2 * MEMORY_MARGIN * specs[-1].memory_mb, abs=1)
    assert (taught.seconds(searches[0]), taught.memory_mb(searches[0])) == (searches[0].cost_s, searches[0].memory_mb)


def test_a_published_campaign_teaches_the_cost_of_another(plan, tmp_path):
    published, mine = Store(tmp_path / "published" / "other"), Store(tmp_path)
    energies = [spec for spec in plan.specs.values() if spec.step == "molecule_energy"]
    for spec in energies[1:]:
        published.path(spec).parent.mkdir(parents=True, exist_ok=True)
        spent = {"cpu_s": 5 * spec.cost_s, "peak_memory_mb": 2 * spec.memory_mb}
        published.cost_path(spec).write_text(json.dumps(spent))
    assert left(energies[:1], mine)[1] == energies[0].cost_s
    teach(energies[1:], published, published.root)
    assert left(energies[:1], mine)[1] == pytest.approx(5 * energies[0].cost_s, rel=1e-3)
    for spec in energies:  # what the campaign's own ones did cost is believed first
        mine.path(spec).parent.mkdir(parents=True, exist_ok=True)
        mine.cost_path(spec).write_text(json.dumps({"cpu_s": 3 * spec.cost_s}))
    own = Experience.of(energies, mine)
    assert own.seconds(energies[0]) == pytest.approx(3 * energies[0].cost_s, rel=1e-3)
    assert own.memory_mb(energies[0]) == pytest.approx(2 * MEMORY_MARGIN * energies[0].memory_mb, rel=1e-2)


@pytest.mark.parametrize(("campaign", "enough"), [("standard", 500), ("models", 200)])
def test_the_plan_foretells_what_a_published_campaign_did_cost(campaign, enough):
    """Nine tenths of the finished calculations teach, the others are foretold."""
    plan, store = make(load(ROOT / "config"), campaign), Store(ROOT / "results" / "none", (ROOT / "results/published" / campaign,))  # fmt: skip
    done = [spec for spec in plan.specs.values() if store.cost(spec)]
    assert len(done) > enough
    foretold = []
    for fold in range(10):
        experience = Experience.of([spec for i, spec in enumerate(done) if i % 10 != fold], store)
        foretold += [(experience.seconds(s), experience.memory_mb(s), store.cost(s)) for s in done[fold::10]]
    total = sum(seconds for seconds, _, _ in foretold) / sum(spent["cpu_s"] for _, _, spent in foretold)
    assert 0.5 < total < 2
    long = [seconds / spent["cpu_s"] for seconds, _, spent in foretold if spent["cpu_s"] > 10]
    assert sum(0.5 < ratio < 2 for ratio in long) > 0.75 * len(long), "each by itself within a factor of two, mostly"
    enough = sum(memory >= spent["peak_memory_mb"] for _, memory, spent in foretold if "peak_memory_mb" in spent)
    assert enough > 0.85 * len(foretold), "what needs more is tried again with half as much more"


@pytest.mark.parametrize(("limit", "kept"), [((100, 1), False), ((50, 60), True), (None, False)])
def test_only_snakemake_s_own_rate_limit_is_taken_away(limit, kept):
    from types import SimpleNamespace

    from crosstalk.campaign import unlimited

    limiter = SimpleNamespace(max_jobs=limit[0], timespan=limit[1]) if limit else None
    scheduler = SimpleNamespace(job_rate_limiter=limiter)
    unlimited(scheduler)
    assert (scheduler.job_rate_limiter is not None) == kept


@pytest.mark.parametrize(("options", "looked"), [([], True), (["--fresh"], False)])
def test_what_is_run_by_hand_takes_up_what_a_campaign_takes_up(options, looked, monkeypatch):
    seen = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(execute, "run_by_hand", lambda given, plan: seen.append((given.also, plan.campaign)) or 0)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "EC", "--campaign", "standard", *options])
    assert not ended.value.code
    ((also, campaign),) = seen
    assert campaign == "standard" and (Path("results/published/standard") in also) == looked
