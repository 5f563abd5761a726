"""Adsorption: poses and their relaxation. Their energies are computed like those of any surface."""


rule place_adsorbates:
    # IN   a slab and an adsorbate's geometry
    # OUT  poses, filtered with xTB, and both references in the same box
    input:
        CAMPAIGN.inputs("place_adsorbates"),
    output:
        "results/jobs/place_adsorbates/{job}.json",
    log:
        "results/logs/place_adsorbates/{job}.log",
    priority: 30
    conda:
        "../../envs/molecules.yaml"
    threads: 1
    resources:
        mem_mb=CAMPAIGN.memory_mb("place_adsorbates"),
        runtime=CAMPAIGN.minutes("place_adsorbates"),
    params:
        specs=CAMPAIGN.specs("place_adsorbates"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"


rule relax_surfaces:
    # IN   poses and references
    # OUT  the same, relaxed at the tier's level
    input:
        CAMPAIGN.inputs("relax_surfaces"),
    output:
        "results/jobs/relax_surfaces/{job}.json",
    log:
        "results/logs/relax_surfaces/{job}.log",
    priority: 10
    conda:
        "../../envs/surfaces.yaml"
    threads: CAMPAIGN.ranks("relax_surfaces")
    resources:
        mem_mb=CAMPAIGN.memory_mb("relax_surfaces"),
        runtime=CAMPAIGN.minutes("relax_surfaces"),
    params:
        specs=CAMPAIGN.specs("relax_surfaces"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"
