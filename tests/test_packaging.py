"""The wheel holds all that reading needs, weights included, and works outside of the checkout."""

import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_weights_card_and_service(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "ocrformer/weights/default.safetensors",
        "ocrformer/weights/README.md",
        "ocrformer/py.typed",
        "ocrformer/pages/report.html",
        "ocrformer/configs/small.yaml",
        "ocrformer/_service/service/service.py",
        "ocrformer/_service/service/page/index.html",
    } <= names
    assert not any(name.startswith("tests/") for name in names)
    assert wheel.stat().st_size < 16e6


def test_wheel_reads_elsewhere(wheel, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    sample = str(ROOT / "samples" / "receipt-3.jpg")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import ocrformer; from ocrformer.cli import main; "
        f"assert ocrformer.__file__.startswith({str(site)!r}); main(['read', {sample!r}])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "TOTAL EUR 14.35\n"
