"""The least that a workflow with so many jobs can be: one file each, made from nothing.

It is planned beside the study by dag.py and never run.
"""


rule all:
    input:
        expand("results/planned/{job}.txt", job=range(int(config["jobs"]))),


rule job:
    output:
        "results/planned/{job}.txt",
    shell:
        "touch {output}"
