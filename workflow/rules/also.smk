"""Further studies, of other tasks say, that the same command makes.

Needs their config files (`also`). Makes the rules of each once more, named for its study:
`tiny-rank` has `tiny_rank_base`. What belongs to no study is made by this one alone.
"""

# Makers of pages and tables that all studies share.
SHARED = ["calibrate", "calibration", "findings"]
SHARED += ["reference_claims", "reference_task_claims", "reference_pictures", "reference"]

for NAME, FURTHER in ALSO.items():

    module:
        name: NAME
        snakefile:
            "../Snakefile"
        config:
            FURTHER.model_dump(mode="json")

    # The statement `use rule * from` takes no name that only a variable holds.
    @workflow.userule(
        rules=["*"],
        from_module=NAME,
        exclude_rules=SHARED,
        name_modifier=f"{NAME}_*",
    )
    def _():
        pass
