"""`ocrformer train` and `ocrformer synth`."""

from __future__ import annotations

import json
import logging
import re
import warnings
from argparse import ArgumentError
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import click

from ocrformer.cli.extras import Share, here, need, plainly


def _duration(_: click.Context, __: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value):
        raise click.BadParameter(f"expected DD:HH:MM:SS (00:00:20:00 is twenty minutes), got {value!r}")
    return value


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option(
    "-c", "--config", metavar="FILE", help="Train from scratch as a YAML file says, or one of tiny, small, base."
)
@click.option(
    "--init", metavar="FILE", help="Fine-tune from `default` or a weights file. [default, unless -c is given]"
)
@click.option("--data", multiple=True, metavar="PATH", help="Labelled lines to learn from; can be repeated.")
@click.option("--fonts", multiple=True, metavar="DIR", help="Own fonts; can be repeated.")
@click.option("--text", multiple=True, metavar="FILE", help="Own texts, new characters among them; can be repeated.")
@click.option("--general-fonts", multiple=True, metavar="DIR", help="Fonts for replay. [the system's]")
@click.option("--general-text", multiple=True, metavar="DIR", help="Texts for replay. [words by frequency]")
@click.option(
    "-o", "--output", default="finetuned", show_default=True, metavar="DIR", help="Folder for fine-tuned model."
)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps of fine-tuning. [by size of the data]")
@click.option(
    "--max-time", "--max_time", default="", callback=_duration, metavar="DD:HH:MM:SS", help="Longest fine-tuning."
)
@click.option("--seed", default=0, show_default=True, help="Another seed, other training lines.")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Processes that make lines.")
@click.option("--overwrite", is_flag=True, help="Replace the model in the output folder.")
@click.pass_context
def train(context: click.Context, /, **options: Any) -> None:
    """Train a model, from scratch or from another.

    From scratch: `ocrformer train -c small`; every option of the YAML file can be given too, as
    `--trainer.max_steps 1000` (`ocrformer train -c small --print_config` shows all).

    From another: `ocrformer train --data my_lines/`, `--fonts my_fonts/`, `--text lines.txt`, or any of them together.
    Writes the model, a report of what got better and what was kept, and a preview of own fonts.
    """
    need("lightning", "train")
    wants_finetuning = options["init"] or options["data"]
    if (options["config"] or _shows_options(context.args)) and not wants_finetuning:
        _refuse_tuning_options(context)
        _from_scratch(context.args, options)
    elif options["config"] or context.args:
        foreign = " ".join(filter(None, (options["config"], *context.args)))
        raise click.UsageError(f"fine-tuning takes no YAML file and no options of it: {foreign}")
    else:
        _finetune(options)


def _shows_options(arguments: list[str]) -> bool:
    return any(argument.partition("=")[0] == "--print_config" for argument in arguments)


_INSTEAD = {
    "steps": "--trainer.max_steps",
    "max_time": "--trainer.max_time",
    "seed": "--data.synthetic.seed",
    "workers": "--data.workers",
    "output": "save_dir of its loggers",
    "general_fonts": "--data.synthetic.fonts",
    "general_text": "--data.synthetic.text",
    "overwrite": "no option; every run has a folder of its own",
}
"""Options of fine-tuning, and what has their place in training from scratch."""


def _refuse_tuning_options(context: click.Context) -> None:
    for name, instead in _INSTEAD.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for fine-tuning; with a YAML file it is {instead}")


def _from_scratch(more: list[str], options: dict[str, Any]) -> None:
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from ocrformer.config import OptionError
    from ocrformer.datasets import DatasetError
    from ocrformer.image import ImageError
    from ocrformer.model.network import WeightsError
    from ocrformer.training.fonts import FontError
    from ocrformer.training.run import main as run

    own = {"--data.synthetic.fonts": options["fonts"], "--data.synthetic.text": options["text"]}
    given = [part for name, places in own.items() if places for part in (name, json.dumps(places, ensure_ascii=False))]
    recipe = ("-c", _recipe(options["config"])) if options["config"] else ()
    _hush_lightning()
    try:
        run(["fit", *recipe, *given, *more])
    except (ArgumentError, MisconfigurationException) as error:
        sentence = re.sub(r"`Timer\(duration=(.*?)\)`", r"--trainer.max_time \1", " ".join(str(error).split()))
        raise click.UsageError(f"{sentence}; --print_config shows all options") from None
    except (RuntimeError, EOFError, UnpicklingError, KeyError) as error:
        if not _of_checkpoint(error):
            raise
        raise click.UsageError(
            f"--ckpt_path: no checkpoint of such a run ({str(error).partition(chr(10))[0]})"
        ) from None
    except BrokenPipeError:  # nobody listens any more
        raise
    except (DatasetError, FontError, ImageError, OptionError, WeightsError, OSError) as error:
        raise click.UsageError(str(error)) from None


def _recipe(name: str) -> str:
    """The YAML file of that name: in a checkout's `configs/`, or the copy that a wheel brings, if it has no folder."""
    package = Path(__file__).parent.parent
    known = [folder / "configs" / f"{name}.yaml" for folder in (package.parent, package)]
    found = next((path for path in (Path(name), *known) if path.exists() and not path.is_dir()), None)
    if found is None:
        raise click.UsageError(f"{name}: no such file; the package brings tiny, small and base")
    return str(found)


def _of_checkpoint(error: Exception) -> bool:
    """Whether an error of torch's comes from a file that is no checkpoint, is cut short, or is of another shape."""
    signs = ("PytorchStreamReader", "loading state_dict", "pytorch-lightning_version")
    return not isinstance(error, RuntimeError | KeyError) or any(sign in str(error) for sign in signs)


def _finetune(options: dict[str, Any]) -> None:
    from ocrformer.training.material import Task

    listed: dict[str, Any] = {
        name: list(options[name]) for name in ("data", "fonts", "text", "general_fonts", "general_text")
    }
    plain = {name: options[name] for name in ("max_time", "seed", "workers", "overwrite")}
    task = Task(
        options["init"] or "default", Path(here(options["output"])), steps=options["steps"] or 0, **listed, **plain
    )
    try:
        from ocrformer.training.tune import tune

        _hush_lightning()
        with plainly():
            for line in tune(task):
                click.echo(line)
    except BrokenPipeError:  # nobody listens any more
        raise
    except OSError as error:
        raise click.UsageError(str(error)) from None


def _hush_lightning() -> None:
    """Leave out what it says of itself: devices that are absent, products to install, its own old habits."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")  # which are this program's own
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*in eval mode at the start")  # the parts that are kept as they are


@click.command()
@click.option("--fonts", multiple=True, type=click.Path(exists=True), help="Font file or folder [the system's fonts].")
@click.option("--text", multiple=True, type=click.Path(exists=True), help="Text file, or folder of *.txt.")
@click.option("--korean", type=Share(), default=0.0, help="Share of Korean lines.")
@click.option("--korean-text", multiple=True, type=click.Path(exists=True), help="Korean text file or folder.")
@click.option("--kind", type=click.Choice(("running", "rare")), help="Texts of one kind. [as trained on]")
@click.option("--clean", is_flag=True, help="Black on white, without wear.")
@click.option("--unseen", is_flag=True, help="Only font families that training holds out.")
@click.option("-n", "--number", type=click.IntRange(1), default=100, show_default=True, help="How many lines.")
@click.option(
    "--width",
    type=click.IntRange(16, 4096),
    default=512,
    show_default=True,
    help="About the greatest width, 32 pixels high.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed, other lines.")
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False), help="Folder to write to.")
def synth(output: str, number: int, **options: Any) -> None:
    """Write synthetic line images, their labels and a contact sheet, as training would see them."""
    need("albumentations", "train")
    from ocrformer.training.data import SyntheticConfig
    from ocrformer.training.synth import write_lines

    fonts, text, korean_text = (list(options.pop(name)) for name in ("fonts", "text", "korean_text"))
    config = SyntheticConfig(fonts=fonts, text=text, korean=options.pop("korean"), korean_text=korean_text)
    try:
        written = write_lines(Path(here(output)), config, number, **options)
    except OSError as error:
        sentence = f"{error.filename or output}: {error.strerror}" if error.strerror else str(error)
        raise click.UsageError(sentence) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{written} lines, labels.tsv and sheet.png in {output}")
