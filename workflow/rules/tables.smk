"""Tables: numbers beside references, claims judged, one readable summary."""


rule tabulate:
    # IN   the records of all jobs
    # OUT  a CSV for each table, claims judged, and the summary
    input:
        CAMPAIGN.all_jobs(),
    output:
        f"results/{CAMPAIGN.name}/summary.md",
        f"results/{CAMPAIGN.name}/tables/frontier.csv",
        f"results/{CAMPAIGN.name}/tables/binding.csv",
        f"results/{CAMPAIGN.name}/tables/adsorption.csv",
        f"results/{CAMPAIGN.name}/tables/surfaces.csv",
        f"results/{CAMPAIGN.name}/tables/redox.csv",
        f"results/{CAMPAIGN.name}/tables/convergence.csv",
        f"results/{CAMPAIGN.name}/tables/lattices.csv",
        f"results/{CAMPAIGN.name}/tables/reactions.csv",
        f"results/{CAMPAIGN.name}/tables/slabs.csv",
        f"results/{CAMPAIGN.name}/tables/validation.csv",
        f"results/{CAMPAIGN.name}/tables/claims.csv",
        f"results/{CAMPAIGN.name}/tables/references.csv",
    log:
        f"results/logs/tabulate/{CAMPAIGN.name}.log",
    conda:
        "../../envs/molecules.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        campaign=CAMPAIGN.select,
        tables=CAMPAIGN.tables_identity(),
    shell:
        "crosstalk table {params.campaign} > {log} 2>&1"
