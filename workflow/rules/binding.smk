"""Ion binding: the geometries of salts. Their energies are computed like those of any molecule."""


rule pair_ions:
    # IN   nothing but the specs of this job's species
    # OUT  ion pairs: cations sampled around the donor atoms, relaxed with xTB, deduplicated
    input:
        CAMPAIGN.inputs("pair_ions"),
    output:
        "results/jobs/pair_ions/{job}.json",
    log:
        "results/logs/pair_ions/{job}.log",
    priority: 30
    conda:
        "../../envs/molecules.yaml"
    threads: 1
    resources:
        mem_mb=CAMPAIGN.memory_mb("pair_ions"),
        runtime=CAMPAIGN.minutes("pair_ions"),
    params:
        specs=CAMPAIGN.specs("pair_ions"),
        options=CAMPAIGN.options,
    shell:
        "crosstalk run {params.options} --ranks {threads} --job {output} --log {log} --specs {params.specs:q}"
