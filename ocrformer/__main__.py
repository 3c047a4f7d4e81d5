"""`python -m ocrformer` is `ocrformer`."""

from ocrformer.cli import run

run()
