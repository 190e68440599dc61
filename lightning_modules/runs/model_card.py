"""The README.md of an exported network: what is known of it, and blanks for what is not."""

from collections.abc import Mapping
from typing import Any

from lightning_modules.runs.results import Results

_BLANK = "*to be filled in*"


def model_card(name: str, config: Mapping[str, Any], results: Results | None) -> str:
    """Write a card in Markdown, with the head that the Hugging Face hub reads.

    Args:
        name: of the network, such as the folder of its run.
        config: of the export, see `mutualformer export --help`.
        results: of the test of the same checkpoint, if there was one.

    >>> print(model_card("concat", {"version": "0.1.0"}, None).splitlines()[6])
    # concat
    """
    training = config.get("training", {})
    commit = (training.get("git") or {}).get("commit")
    facts = {
        "class": config.get("model", "mutualformer.MutualFormerNetwork"),
        "version": config.get("version"),
        "trained at commit": commit,
        "seed": training.get("seed"),
        "checkpoint": training.get("checkpoint"),
        "steps": training.get("step"),
        **{f"data, {x}": value for x, value in training.get("data", {}).items()},
    }
    lines = ["---", "library_name: mutualformer", "pipeline_tag: image-segmentation"]
    lines += ["tags: [rgb-d, mutualformer]", "---", "", f"# {name}", ""]
    lines += [
        "A network that fuses two aligned modalities; settings, and what its inputs mean, are in"
    ]
    lines += ["`config.json`.", "", "| | |", "|---|---|"]
    lines += [f"| {fact} | {value} |" for fact, value in facts.items() if value is not None]
    lines += ["", "## Scores", "", *(_scores(results) if results else [f"{_BLANK}: not tested"])]
    lines += ["", "## To be filled in by whoever publishes it", ""]
    lines += [
        f"- {what}: {_BLANK}"
        for what in (
            "training data, and on what terms it may be used",
            "the weights that the encoders began with, and their licence",
            "the licence of these weights",
            "what it is meant for, and what it was not tried on",
        )
    ]
    return "\n".join(lines) + "\n"


def _scores(results: Results) -> list[str]:
    shown = [score for score in results.descriptions if score.main]
    lines = [f"| data set | images | {' | '.join(score.heading for score in shown)} |"]
    lines += [f"|---|---{'|---' * len(shown)}|"]
    for dataset, scores in results.scores.items():
        values = [scores.get(score.name) for score in shown]
        texts = ["–" if value is None else f"{value:.3f}" for value in values]
        lines += [f"| {dataset} | {results.num_images[dataset]} | {' | '.join(texts)} |"]
    return [*lines, "", *(f"{text}." for text in (results.protocol, *results.remarks))]
