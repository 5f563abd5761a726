"""Report: figures, rendered structures, and the database of structures."""


rule draw_figures:
    # IN   the records of all jobs
    # OUT  figures of the comparisons, the validation, the orbitals and the structures, SVG and PNG
    input:
        CAMPAIGN.all_jobs(),
    output:
        f"results/{CAMPAIGN.name}/figures/frontier.svg",
        f"results/{CAMPAIGN.name}/figures/frontier.png",
        f"results/{CAMPAIGN.name}/figures/binding.svg",
        f"results/{CAMPAIGN.name}/figures/binding.png",
        f"results/{CAMPAIGN.name}/figures/adsorption.svg",
        f"results/{CAMPAIGN.name}/figures/adsorption.png",
        f"results/{CAMPAIGN.name}/figures/density.svg",
        f"results/{CAMPAIGN.name}/figures/density.png",
        f"results/{CAMPAIGN.name}/figures/potential.svg",
        f"results/{CAMPAIGN.name}/figures/potential.png",
        f"results/{CAMPAIGN.name}/figures/redox.svg",
        f"results/{CAMPAIGN.name}/figures/redox.png",
        f"results/{CAMPAIGN.name}/figures/convergence.svg",
        f"results/{CAMPAIGN.name}/figures/convergence.png",
        f"results/{CAMPAIGN.name}/figures/validation.svg",
        f"results/{CAMPAIGN.name}/figures/validation.png",
        f"results/{CAMPAIGN.name}/figures/orbitals.svg",
        f"results/{CAMPAIGN.name}/figures/orbitals.png",
        f"results/{CAMPAIGN.name}/figures/structures.svg",
        f"results/{CAMPAIGN.name}/figures/structures.png",
    log:
        f"results/logs/draw_figures/{CAMPAIGN.name}.log",
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
        "crosstalk figure {params.campaign} > {log} 2>&1"


rule store_structures:
    # IN   the records of all jobs
    # OUT  an ASE database of all final structures with their key quantities
    input:
        CAMPAIGN.all_jobs(),
    output:
        f"results/{CAMPAIGN.name}/crosstalk.db",
    log:
        f"results/logs/store_structures/{CAMPAIGN.name}.log",
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
        "crosstalk database {params.campaign} > {log} 2>&1"
