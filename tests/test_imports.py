"""Reading must not load what only training, serving or measuring needs."""

import subprocess
import sys
import time

import ocrformer

HEAVY = "{'lightning', 'albumentations', 'bentoml', 'rapidfuzz', 'cv2', 'wordfreq', 'fontTools', 'torchvision', 'ray'}"


def loaded_by(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(sorted({HEAVY} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip().splitlines()[-1]


def test_import_and_reading_load_no_training_package():
    assert loaded_by("import ocrformer, ocrformer.cli") == "[]"
    read = (
        "from click.testing import CliRunner; from ocrformer.cli import main; "
        "result = CliRunner().invoke(main, ['read', 'samples']); assert result.exit_code == 0, result.output"
    )
    assert loaded_by(read) == "[]"


def test_help_loads_no_torch_and_answers_at_once():
    assert loaded_by("import ocrformer.cli; assert 'torch' not in sys.modules") == "[]"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ocrformer", "--help"], check=True, capture_output=True)
    assert time.perf_counter() - started < 5  # measured 0.15 s; this bound only catches an imported torch


def test_public_names_are_there():  # that they are sorted is ruff's business
    assert len(set(ocrformer.__all__)) == len(ocrformer.__all__)
    for name in ocrformer.__all__:
        assert getattr(ocrformer, name) is not None
    assert not hasattr(ocrformer, "nonsense")
