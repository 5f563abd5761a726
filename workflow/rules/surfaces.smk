"""Surfaces: crystals, slabs, and periodic energies with work functions and band edges."""


rule relax_crystals:
    # IN   nothing but the spec of the crystal
    # OUT  the crystal, its cell and positions relaxed
    input:
        CAMPAIGN.inputs("relax_crystals"),
    output:
        "results/jobs/relax_crystals/{job}.json",
    log:
        "results/logs/relax_crystals/{job}.log",
    priority: 30
    conda:
        "../../envs/surfaces.yaml"
    threads: CAMPAIGN.ranks("relax_crystals")
    resources:
        mem_mb=CAMPAIGN.memory_mb("relax_crystals"),
        runtime=CAMPAIGN.minutes("relax_crystals"),
    params:
        specs=CAMPAIGN.specs("relax_crystals"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"


rule build_slabs:
    # IN   nothing but the spec of the surface, or a relaxed crystal that it is cut from
    # OUT  the primitive slab, built and relaxed
    input:
        CAMPAIGN.inputs("build_slabs"),
    output:
        "results/jobs/build_slabs/{job}.json",
    log:
        "results/logs/build_slabs/{job}.log",
    priority: 30
    conda:
        "../../envs/surfaces.yaml"
    threads: CAMPAIGN.ranks("build_slabs")
    resources:
        mem_mb=CAMPAIGN.memory_mb("build_slabs"),
        runtime=CAMPAIGN.minutes("build_slabs"),
    params:
        specs=CAMPAIGN.specs("build_slabs"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"


rule compute_surfaces:
    # IN   slabs, adsorption systems or crystals
    # OUT  energies, work functions and band edges
    input:
        CAMPAIGN.inputs("compute_surfaces"),
    output:
        "results/jobs/compute_surfaces/{job}.json",
    log:
        "results/logs/compute_surfaces/{job}.log",
    priority: 10
    conda:
        "../../envs/surfaces.yaml"
    threads: CAMPAIGN.ranks("compute_surfaces")
    resources:
        mem_mb=CAMPAIGN.memory_mb("compute_surfaces"),
        runtime=CAMPAIGN.minutes("compute_surfaces"),
    params:
        specs=CAMPAIGN.specs("compute_surfaces"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"
