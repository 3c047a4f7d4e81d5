"""`ocrformer attend`: see where the network looked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click

from ocrformer.cli.extras import apart, here, unoccupied
from ocrformer.config import MODES, VIEWS, DecodeOptions
from ocrformer.remote import is_url


@click.command()
@click.argument("image", metavar="IMAGE")
@click.option("-o", "--output", required=True, metavar="FILE", help="What to write: .png, .gif or .html.")
@click.option("--view", type=click.Choice(VIEWS), default=VIEWS[0], show_default=True, help="Which attention (below).")
@click.option("--layer", type=click.IntRange(0), help="One layer, from 0 [mean of all].")
@click.option("--head", type=click.IntRange(0), help="One attention head, from 0 [mean of all].")
@click.option("--model", default="default", show_default=True, metavar="FILE", help="Weights to read with.")
@click.option("--mode", type=click.Choice(MODES), default=DecodeOptions.mode, show_default=True, help="How to decode.")
@click.option("--device", help="cpu, cuda, ... [a GPU if there is one]")
@click.option("--overwrite", is_flag=True, help="Replace the output file.")
def attend(
    image: str, output: str, model: str, mode: str, device: str | None, *, overwrite: bool, **shown: Any
) -> None:
    """Show where the network looked for each character of IMAGE.

    A PNG is a still sheet, a GIF walks along the line, an HTML page answers the mouse and shows all three attentions:
    of the decoder to the `picture`, of the `encoder` from one place of the picture to others, of the decoder to the
    `characters` that it had written.
    """
    kind = Path(output).suffix.lower()
    if kind not in (".png", ".gif", ".html"):
        raise click.UsageError(f"{output}: the output must end in .png, .gif or .html")
    if kind == ".html" and (shown["layer"] is not None or shown["head"] is not None or shown["view"] != VIEWS[0]):
        raise click.UsageError("an HTML page shows all views; choose --view, --layer and --head for .png and .gif")
    from ocrformer import attention_pictures
    from ocrformer.image import ImageError
    from ocrformer.output_files import put
    from ocrformer.reader import OCRformer

    if is_url(image):
        raise click.UsageError(f"{image}: this command reads from this machine alone; name a local picture")
    try:
        apart(here(output), image)
        unoccupied(output, overwrite=overwrite)
        attention = OCRformer.from_pretrained(model, device).attend(image, DecodeOptions(mode=mode))
        if kind == ".png":
            buffer = io.BytesIO()
            attention_pictures.sheet(attention, **shown).save(buffer, "PNG")
            put(output, buffer.getvalue())
        elif kind == ".gif":
            put(output, attention_pictures.animation(attention, **shown))
        else:
            put(output, attention_pictures.page(attention))
    except ImageError as error:
        raise click.ClickException(str(error)) from None
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    click.echo("".join(attention.characters))
