# SPDX-License-Identifier: MIT
"""Captions of the report render for every task: no undefined name, no broken markup."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from derotate.config.schema import load
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
    assert defaults(task).wording.learned in " ".join(texts["workflow"].split())
    others = {defaults(other).wording.cluster for other in TASKS}
    others -= {defaults(task).wording.cluster}
    for name, text in texts.items():
        assert not [cluster for cluster in others if f"by {cluster}" in text], name


@pytest.mark.parametrize("task", TASKS)
def test_a_caption_mentions_published_numbers_only_where_they_are_drawn(task: str) -> None:
    for caption in CAPTIONS:
        if caption.stem in ("sft_and_rl", "stages", "surgery"):
            assert ("The last row has" in rendered(caption, task)) == (task == "general_points")
