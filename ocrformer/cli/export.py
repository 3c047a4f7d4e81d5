"""`ocrformer export`: the encoder as an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import click

from ocrformer.cli.extras import apart, here, need, plainly, unoccupied


@click.command()
@click.option("--model", default="default", show_default=True, metavar="FILE", help="Weights to export.")
@click.option("-o", "--output", metavar="FILE", help="ONNX file to write. [beside the weights]")
@click.option("--int8", is_flag=True, help="Matrices of eight-bit integers: smaller, faster on some processors.")
@click.option("--overwrite", is_flag=True, help="Replace the output file.")
@plainly()
def export(model: str, output: str | None, int8: bool, overwrite: bool) -> None:
    """Write the encoder for onnxruntime, for processors on which torch is slow (they have neither AVX2 nor bfloat16).

    Beside its weights the file is used by itself where it helps; `--runtime onnx` or `--runtime FILE` insists on it.
    """
    need("onnxscript", "onnx")
    from ocrformer.export import export as write
    from ocrformer.model.network import load
    from ocrformer.reader import weights_path

    weights = weights_path(model)
    network = load(weights).network
    target = Path(here(output)) if output else weights.with_suffix(".onnx")
    apart(str(target), str(weights))
    unoccupied(str(target), overwrite=overwrite)
    try:
        write(network, target, precision="int8" if int8 else "float32")
    except OSError as error:
        raise click.UsageError(f"{target}: cannot write there ({error.strerror or error})") from None
    click.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
