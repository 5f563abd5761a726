"""crosstalk: config says what, rules say in which order, the package in workflow/crosstalk does the science.

snakemake                                  the default campaign of config/config.yaml
snakemake --config campaign=standard       another one
snakemake --config engine=fake             made-up numbers, to see the workflow run
"""

from crosstalk.campaign import hush, open_campaign, unlimited

hush("snakemake.logging")
CAMPAIGN = open_campaign(config, workflow.basedir)
if workflow.is_main_process:
    CAMPAIGN.forget_lost()


wildcard_constraints:
    job=r"[^/]+",


onstart:
    unlimited(workflow.scheduler)
    CAMPAIGN.begin(workflow.resource_settings.cores)


onsuccess:
    CAMPAIGN.end()


onerror:
    CAMPAIGN.end(failed=True)


rule all:
    default_target: True
    input:
        CAMPAIGN.all_jobs(),  # tables made by hand meanwhile are no reason to leave one out
        f"results/{CAMPAIGN.name}/summary.md",
        f"results/{CAMPAIGN.name}/figures/structures.png",
        f"results/{CAMPAIGN.name}/crosstalk.db",


include: "workflow/rules/molecules.smk"
include: "workflow/rules/binding.smk"
include: "workflow/rules/surfaces.smk"
include: "workflow/rules/adsorption.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"
