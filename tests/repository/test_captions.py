# SPDX-License-Identifier: MIT
"""Captions of the report render for every task: no undefined name, no broken markup."""

import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from derotate.config.schema import load
from derotate.figures.captions import load_captions
from derotate.stages.figures import DRAWINGS
from derotate.study.tables import TABLES
from derotate.tasks import TASKS, defaults

CAPTIONS = sorted((Path(__file__).parents[2] / "workflow" / "report").glob("*.rst"))


def rendered(caption: Path, task: str) -> str:
    """The caption as HTML, rendered with the config of the Snakefile."""
    known = defaults(task)
    config = load({"task": task}).model_dump(mode="json")
    config |= {"words": asdict(known.wording), "published": known.published}
    job = SimpleNamespace(config=config)
    text = Environment(undefined=StrictUndefined).from_string(caption.read_text("utf-8"))
    return str(publish_parts(text.render(snakemake=job), writer="html")["html_body"])


@pytest.mark.parametrize("task", TASKS)
def test_captions_use_the_terms_of_the_task(task: str) -> None:
    texts = {caption.stem: rendered(caption, task) for caption in CAPTIONS}
    assert not [name for name, text in texts.items() if "system-message" in text]
    assert defaults(task).wording.id_skill in " ".join(texts["workflow"].split())
    others = {defaults(other).wording.cluster for other in TASKS}
    others -= {defaults(task).wording.cluster}
    for name, text in texts.items():
        assert not [cluster for cluster in others if f"by {cluster}" in text], name


@pytest.mark.parametrize("task", TASKS)
def test_a_caption_mentions_published_numbers_only_where_they_are_drawn(task: str) -> None:
    for caption in CAPTIONS:
        if caption.stem in ("sft_and_rl", "stages", "surgery"):
            assert ("The last row has" in rendered(caption, task)) == (task == "general_points")


def test_each_figure_and_table_of_the_report_has_its_caption() -> None:
    captions = load_captions(CAPTIONS[0].parent)
    by_rule: dict[str, set[str]] = {}
    for name, caption in captions.items():
        by_rule.setdefault(caption.rule, set()).add(name)
    assert by_rule["figures"] == set(DRAWINGS)
    assert by_rule["tables"] <= {f"{table}_table" for table in TABLES}
    beside = {"phase", "reexamination", "tasks"}
    assert all(captions[figure].summary for figure in {*DRAWINGS, *beside})


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("", "rule: Field required"),
        ("{#\nrule: figures\ncategory: Spectra\n#}", "title: Field required"),
        ("{#\nrule: figures\ncategory: [\n#}", "its header is not YAML"),
        ("{#\nrule: figures\ncategory: A\ntitle: b\nsumary: C.\n#}", "sumary: Extra inputs"),
        (
            "{#\nrule: figures\ncategory: A\ntitle: b\nsummary: no stop\n#}",
            "summary: String should",
        ),
    ],
)
def test_a_caption_with_a_bad_header_is_refused_in_one_line(
    tmp_path: Path, header: str, named: str
) -> None:
    (tmp_path / "angles.rst").write_text(f"{header}\nText.\n")
    with pytest.raises(ValueError, match=re.escape(named)) as refused:
        load_captions(tmp_path)
    assert "angles.rst" in str(refused.value) and "\n" not in str(refused.value)
