"""Weights for one feature row and more encoder layers, made from those of two rows: where training goes on from.

    python tools/reshape.py default start.safetensors --encoder-layers 3
    ocrformer train -c configs/small.yaml --model.init start.safetensors --model.teacher default ...

Everything else is taken over. The rows are averaged, and a new encoder layer changes nothing at first.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import nn

from ocrformer.model.encoder import EncoderLayer
from ocrformer.model.network import Bundle, Network, load, save
from ocrformer.reader import weights_path


def reshaped(bundle: Bundle, encoder_layers: int) -> Bundle:
    """One row and so many encoder layers in place of two rows and at most as many."""
    old, config = bundle.network, bundle.network.config
    if config.rows == 1 or config.height != 32 or encoder_layers < config.encoder_layers:
        raise SystemExit("only weights of two rows can be reshaped, to as many encoder layers or more")
    new = Network(replace(config, rows=1, encoder_layers=encoder_layers), len(bundle.charset)).eval()
    taken = {name: tensor for name, tensor in old.state_dict().items() if not name.startswith("ctc_head")}
    new.load_state_dict(taken, strict=False)
    with torch.no_grad():
        halves = old.ctc_head.weight.view(len(bundle.charset), 2, config.d_model)
        new.ctc_head.weight.copy_(halves.sum(dim=1))
        new.ctc_head.bias.copy_(old.ctc_head.bias)
        flatten = new.backbone.flatten_rows
        assert flatten is not None and flatten.bias is not None
        nn.init.normal_(flatten.weight, std=0.02)
        flatten.weight += torch.eye(config.d_model)[:, :, None, None] / 2
        flatten.bias.zero_()
        for layer in list(new.encoder.layers)[config.encoder_layers :]:
            assert isinstance(layer, EncoderLayer)
            for last in (layer.attention.output, layer.feed_forward[2]):
                assert isinstance(last, nn.Linear)
                last.weight.zero_()
                last.bias.zero_()
    return Bundle(new, bundle.charset, {})


def main() -> None:
    """Read the weights named first, write those named second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="`default` or a file, of two rows")
    parser.add_argument("output")
    parser.add_argument("--encoder-layers", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    save(options.output, reshaped(load(weights_path(options.weights)), options.encoder_layers))


if __name__ == "__main__":
    main()
