"""Molecules: conformers, geometries, energies and orbitals."""


rule search_conformers:
    # IN   nothing but the specs of this job's species
    # OUT  conformers: ETKDGv3, relaxed with xTB, deduplicated
    input:
        CAMPAIGN.inputs("search_conformers"),
    output:
        "results/jobs/search_conformers/{job}.json",
    log:
        "results/logs/search_conformers/{job}.log",
    priority: 30
    conda:
        "../../envs/molecules.yaml"
    threads: 1
    resources:
        mem_mb=CAMPAIGN.memory_mb("search_conformers"),
        runtime=CAMPAIGN.minutes("search_conformers"),
    params:
        specs=CAMPAIGN.specs("search_conformers"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"


rule relax_molecules:
    # IN   a species' conformers
    # OUT  its geometry, relaxed at the tier's level
    input:
        CAMPAIGN.inputs("relax_molecules"),
    output:
        "results/jobs/relax_molecules/{job}.json",
    log:
        "results/logs/relax_molecules/{job}.log",
    priority: 20
    conda:
        "../../envs/molecules.yaml"
    threads: 1
    resources:
        mem_mb=CAMPAIGN.memory_mb("relax_molecules"),
        runtime=CAMPAIGN.minutes("relax_molecules"),
    params:
        specs=CAMPAIGN.specs("relax_molecules"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"


rule compute_molecules:
    # IN   a species' geometry
    # OUT  energies and orbitals at the levels asked for; fragments with ghost atoms
    input:
        CAMPAIGN.inputs("compute_molecules"),
    output:
        "results/jobs/compute_molecules/{job}.json",
    log:
        "results/logs/compute_molecules/{job}.log",
    priority: 20
    conda:
        "../../envs/molecules.yaml"
    threads: 1
    resources:
        mem_mb=CAMPAIGN.memory_mb("compute_molecules"),
        runtime=CAMPAIGN.minutes("compute_molecules"),
    params:
        specs=CAMPAIGN.specs("compute_molecules"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"
