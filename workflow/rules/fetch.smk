"""The base of a study with a pretrained model, in the place of base.smk.

Needs the hub, its cache or a folder. Makes one checkpoint directory of it, one weights file whatever
its size, beside a record of what arrived.
"""

from pathlib import Path

BASE_CODE = code_digest("derotate.stages.fetch")
FOLDER = Path(CONFIG.model.pretrained).expanduser() if CONFIG.model.is_folder else None


rule fetch:
    """Fetch the pretrained model, check it, and merge its shards."""
    input:
        # what is on the hub never changes, since its commit is named; a folder may
        sorted(map(str, FOLDER.glob("*.*"))) if FOLDER else [],
    output:
        weights="<base>/base/model.safetensors",
        config="<base>/base/config.json",
        record="<base>/base/fetched.json",
    log:
        "<base>/logs/base.log",
    benchmark:
        "<base>/benchmarks/rest/fetch.tsv"
    priority: 30
    # Compute nodes of a cluster are often offline; the machine that runs Snakemake is not.
    localrule: True
    conda:
        "../../envs/train.yaml"
    resources:
        **requested_resources(stage_resources.fetching(CONFIG)),
    params:
        # sizes only tell what jobs ask for
        model=CONFIG.model.model_dump(exclude={"parameters", "layers", "width"}),
        code=BASE_CODE,
        lock=LOCK,
    message:
        f"fetching of {CONFIG.model.pretrained}"
    script:
        "../scripts/fetch.py"
