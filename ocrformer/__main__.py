"""`python -m ocrformer` is `ocrformer`."""

from ocrformer.cli import main

main(prog_name="ocrformer")
