"""Where `ocrformer read` writes: nothing is lost, replaced or mixed without a word."""

import csv
import errno
import io
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer.cli import main
from ocrformer.cli.progress import progress
from ocrformer.model import network
from ocrformer.pages import data_of
from tests.conftest import ROOT


def picture(path, text="line"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (120, 28), 255)
    ImageDraw.Draw(image).text((3, 6), text, fill=0)
    image.save(path)
    return path


@pytest.fixture
def read(model, tmp_path, monkeypatch):
    """The command, run in a folder with a.png and b.png."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        picture(tmp_path / f"{name}.png", name)

    def invoke(*arguments, code):
        result = CliRunner().invoke(main, ["read", "--model", model, *map(str, arguments)])
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return invoke


def test_equal_names_from_two_folders_do_not_replace_each_other(read, tmp_path):
    for folder in ("x", "y"):
        picture(tmp_path / folder / "s.png", folder)
    result = read("x", "y", "--output-dir", "out", code=1)
    assert [path.name for path in Path("out").glob("[!.]*")] == ["s.png.jsonl"]
    assert "y/s.png: out/s.png.jsonl is for x/s.png already" in result.stderr


def test_rows_of_equal_names_are_all_kept(read):
    read("a.png", "a.png", "b.png", "-f", "csv", "-o", "rows.csv", code=0)
    rows = list(csv.reader(Path("rows.csv").read_text("utf-8").splitlines()))
    assert [row[0] for row in rows[1:]] == ["a.png", "a.png", "b.png"]


@pytest.mark.parametrize("size", [0, 3, 50])
def test_resuming_a_file_that_was_cut_anywhere(read, size):
    read("a.png", "b.png", "-f", "csv", "-o", "rows.csv", code=0)
    whole = Path("rows.csv").read_bytes()
    os.truncate("rows.csv", size)
    read("a.png", "b.png", "-f", "csv", "-o", "rows.csv", "--resume", code=0)
    assert Path("rows.csv").read_bytes() == whole


def test_resuming_a_file_that_was_edited_is_refused(read):
    read("a.png", "b.png", "-f", "txt", "-o", "rows.txt", code=0)
    edited = Path("rows.txt").read_text("utf-8").replace("\n", " corrected\n", 1)
    Path("rows.txt").write_text(edited, "utf-8")
    result = read("a.png", "b.png", "-f", "txt", "-o", "rows.txt", "--resume", code=2)
    assert "changed since it was written" in result.stderr
    assert Path("rows.txt").read_text("utf-8") == edited


def test_a_last_row_made_shorter_by_hand_is_not_taken_for_a_crash(read):
    for places in (["a.png"], ["a.png", "b.png"]):
        read(*places, "-f", "csv", "-o", "rows.csv", "--overwrite", code=0)
        edited = Path("rows.csv").read_text("utf-8").rstrip("\n")[:-4] + "\n"
        Path("rows.csv").write_text(edited, "utf-8")
        assert "changed since it was written" in read(*places, "-f", "csv", "-o", "rows.csv", "--resume", code=2).stderr
        assert Path("rows.csv").read_text("utf-8") == edited


def test_files_of_an_older_picture_go(read, tmp_path):
    """A damaged picture in the place of a good one has no text, and one in the place of two pages no second file."""
    pages = [Image.open(tmp_path / f"{name}.png") for name in "ab"]
    pages[0].save("two.tif", save_all=True, append_images=pages[1:])
    options = ["a.png", "b.png", "two.tif", "--sidecars", "--resume"]
    read(*options, "-f", "txt", code=0)
    read("two.tif", "-f", "page", "--sidecars", code=0)
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    Path("b.png").unlink()
    read(*options, "-f", "txt", code=1)
    assert [Path(f"{name}.txt").exists() for name in ("a.png", "b.png", "two.tif")] == [False, True, True]
    pages[0].save("two.tif")
    read("two.tif", "-f", "page", "--sidecars", "--resume", code=0)
    assert sorted(path.name for path in Path().glob("two.tif*.xml")) == ["two.tif.page.xml"]


def test_labels_are_named_from_where_the_report_really_lies(read):
    Path("real/deep").mkdir(parents=True)
    Path("link").symlink_to("real/deep")
    read("a.png", "-o", "rows.csv", "--report", "link/page.html", code=0)
    (row,) = data_of(Path("link/page.html").read_text("utf-8"))["rows"]
    assert (Path("link").resolve() / row["label"]).samefile("a.png")


def test_shares_are_numbers(read):
    assert "is no number" in read("a.png", "--min-confidence", "nan", code=2).stderr


def test_links_pipes_and_pictures_are_not_replaced(read):
    Path("real.csv").write_text("old")
    Path("link.csv").symlink_to("real.csv")
    read("a.png", "-f", "csv", "-o", "link.csv", "--overwrite", code=0)
    assert Path("link.csv").is_symlink() and Path("real.csv").read_text("utf-8").count("\n") == 2
    before = Path("a.png").read_bytes()
    assert "is a picture" in read("b.png", "-f", "csv", "-o", "a.png", "--overwrite", code=2).stderr
    assert Path("a.png").read_bytes() == before
    os.mkfifo("pipe")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe").read_text("utf-8")))
    reader.start()
    read("a.png", "-f", "csv", "-o", "pipe", code=0)
    reader.join(10)
    assert received[0].count("\n") == 2 and Path("pipe").is_fifo()


def test_outputs_without_a_name(read):
    for option in ("-o", "--output-dir"):
        assert "need a name" in read("a.png", option, "", code=2).stderr
    assert read("a.png", "b.png", "-f", "csv", "-o", "-", code=0).stdout.count("\n") == 3
    assert not Path("-").exists()


@pytest.mark.parametrize("other", ["-f jsonl", "--mode ctc", "--charset abc", "--min-confidence 0.5"])
def test_resuming_with_other_options_is_refused(read, other):
    options = ["-f", "csv", "-o", "rows.csv"]
    read("a.png", *options, code=0)
    before = Path("rows.csv").read_bytes()
    result = read("a.png", "b.png", *options, *other.split(), "--resume", code=2)
    assert "begun with other options" in result.stderr
    assert Path("rows.csv").read_bytes() == before
    read("a.png", "b.png", *options, *other.split(), "--resume", "--overwrite", code=0)
    assert "b.png" in Path("rows.csv").read_text("utf-8")


@pytest.mark.parametrize("journal", ["garbage\n", "5\n", '{"a": 1}\n[1]\n'])
def test_a_damaged_journal_is_one_sentence(read, journal):
    read("a.png", "-f", "csv", "-o", "rows.csv", code=0)
    Path("rows.csv.journal").write_text(journal)
    result = read("a.png", "-f", "csv", "-o", "rows.csv", "--resume", code=2)
    assert "rows.csv" in result.stderr and "--overwrite" in result.stderr


def test_what_failed_before_still_counts_on_resuming(read):
    Path("bad.png").write_bytes(b"\x89PNG")
    read("a.png", "bad.png", "-f", "jsonl", "-o", "rows.jsonl", code=1)
    read("a.png", "bad.png", "-f", "jsonl", "-o", "rows.jsonl", "--resume", code=1)
    assert len(Path("rows.jsonl").read_text().splitlines()) == 2


def test_a_missing_place_among_others_is_a_row(read):
    result = read("a.png", "none.png", "b.png", "-f", "json", code=1)
    rows = json.loads(result.stdout)
    assert [row["status"] == "failed" for row in rows] == [False, True, False]
    assert "none.png: no such file or folder" in rows[1]["error"]


def test_sidecars_beside_an_archive(read, tmp_path):
    with zipfile.ZipFile("more.zip", "w") as archive:
        archive.write("a.png")
    result = read(tmp_path, "--sidecars", "-f", "txt", code=1)
    assert "nothing can be put beside a member of an archive" in result.stderr
    assert Path("a.png.txt").exists() and Path("b.png.txt").exists()


@pytest.mark.parametrize("where", [["--sidecars"], ["--output-dir", "."]])
def test_written_files_are_replaced_on_demand_alone(read, where):
    Path("a.png.txt").write_text("by hand")
    result = read("a.png", "b.png", *where, code=1)
    assert "a.png.txt exists" in result.stderr and Path("a.png.txt").read_text() == "by hand"
    assert Path("b.png.txt").exists()
    read("a.png", "b.png", *where, "--overwrite", code=0)
    assert Path("a.png.txt").read_text() != "by hand"


def test_trees_elsewhere_are_not_gone_on_with(read, tmp_path):
    result = read("a.png", "--output-dir", f"file://{tmp_path}/out", "--resume", code=2)
    assert "--resume goes on in folders of this machine alone" in result.stderr


def test_weights_are_not_replaced_by_what_they_read(read, model):
    mine = Path("mine.safetensors")
    mine.write_bytes(Path(model).read_bytes())
    refused = read("a.png", "--model", mine, "-o", mine, "--overwrite", code=2)
    assert "would replace what is read" in refused.stderr and mine.read_bytes() == Path(model).read_bytes()


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_streams_are_no_error(read, model, closed):
    command = f"{sys.executable} -m ocrformer read a.png --model {model} -o rows.txt {closed}>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path("rows.txt").read_text("utf-8")


def test_reports_do_not_replace_other_files(read):
    assert "two files" in read("a.png", "-o", "same", "--report", "same", code=2).stderr
    before = Path("b.png").read_bytes()
    assert "b.png exists" in read("a.png", "--report", "b.png", code=2).stderr
    assert Path("b.png").read_bytes() == before
    Path("page.html").write_text("mine")
    url = f"file://{Path('page.html').absolute()}"
    assert "page.html exists" in read("a.png", "--report", url, code=2).stderr
    resumed = read("a.png", "-o", "rows.csv", "--report", url, "--resume", code=2)
    assert "on this machine alone" in resumed.stderr and not Path("rows.csv").exists()
    assert Path("page.html").read_text() == "mine"


@pytest.mark.parametrize("option", ["-o", "--report"])
@pytest.mark.parametrize("place", ["lines.zip", "b.png", "list.txt"])
def test_what_is_read_is_not_replaced(read, place, option):
    with zipfile.ZipFile("lines.zip", "w") as archive:
        archive.write("a.png")
    Path("list.txt").write_text("a.png")
    before = Path(place).read_bytes()
    refused = read(place, option, place, "--overwrite", code=2).stderr
    assert place in refused and "name another file" in refused
    assert Path(place).read_bytes() == before
    if place != "list.txt":  # found in a folder
        assert "is a picture or an archive" in read(".", option, place, "--overwrite", code=2).stderr
        assert Path(place).read_bytes() == before
    url = f"file://{Path(place).absolute()}"
    for named in (place, url):
        refused = read(named, "-f", "csv", option, url, "--overwrite", code=2).stderr
        assert "name another file" in refused and Path(place).read_bytes() == before
    read(".", "-f", "csv", "-o", "rows.csv", code=0)  # beside what is read
    read(".", "-f", "csv", "-o", "rows.csv", "--resume", code=0)


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "folder", "--overwrite"],
        ["-f", "json", "-o", "folder", "--overwrite"],
        ["-o", "b.png/x.txt"],
        ["-f", "json", "-o", "b.png/x.json"],
        ["--output-dir", "b.png"],
        ["--report", "b.png/x.html"],
        ["--report", "folder"],
    ],
    ids=" ".join,
)
def test_places_that_cannot_be_written_are_named_before_reading(read, options):
    Path("folder").mkdir()
    result = read("a.png", *options, code=2)
    assert options[-1] in result.stderr or "folder" in result.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "b.png", "folder"]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv"])
def test_names_that_are_no_text_are_written_escaped(read, form):
    name = os.fsdecode(b"bad\xff.png")
    Path(name).write_bytes(b"\x89PNG")
    read("a.png", name, "-f", form, "-o", "rows", code=1)
    assert r"bad\udcff.png" in Path("rows").read_text("utf-8").replace("\\\\", "\\")


def test_what_is_at_a_url_is_not_replaced_unasked(read, tmp_path):
    target = f"file://{tmp_path}/rows.csv"
    read("a.png", "-f", "csv", "-o", target, code=0)
    before = Path("rows.csv").read_bytes()
    assert "exists: use --overwrite" in read("b.png", "-f", "csv", "-o", target, code=2).stderr
    assert Path("rows.csv").read_bytes() == before
    read("b.png", "-f", "csv", "-o", target, "--overwrite", code=0)
    assert b"b.png" in Path("rows.csv").read_bytes()


def test_pages_of_a_picture_are_not_replaced_unasked(read, tmp_path):
    pages = [Image.open(tmp_path / f"{name}.png") for name in "ab"]
    pages[0].save("two.tif", save_all=True, append_images=pages[1:])
    read("two.tif", "-f", "page", "--sidecars", code=0)
    assert "exists; use --resume" in read("two.tif", "-f", "page", "--sidecars", code=1).stderr
    first = Path("two.tif#1.page.xml")
    written = first.stat().st_mtime_ns
    read("two.tif", "-f", "page", "--sidecars", "--resume", code=0)
    assert first.stat().st_mtime_ns == written


def test_a_resumed_report_shows_the_lines_of_all_runs(read):
    whole = ["-o", "whole.csv", "--report", "whole.html"]
    read("a.png", "b.png", *whole, code=0)
    options = ["-o", "rows.csv", "--resume", "--report", "page.html"]
    read("a.png", *options, code=0)
    assert "kept 1 of an earlier run" in read("a.png", "b.png", *options, code=0).stderr
    os.utime("a.png", (1, 1))
    read("a.png", "b.png", *options, code=0)  # read again, shown once
    pages = [data_of(Path(page).read_text("utf-8")) for page in ("page.html", "whole.html")]
    assert sorted(map(json.dumps, pages[0]["rows"])) == sorted(map(json.dumps, pages[1]["rows"]))
    assert pages[0]["omitted"] == pages[0]["lacking"] == 0
    assert {**pages[0], "rows": 0, "summary": 0} == {**pages[1], "rows": 0, "summary": 0}  # and counted once
    Path("page.html").unlink()  # as after a kill
    assert "page.html: lacks 2 pictures" in read("a.png", "b.png", *options, code=0).stderr
    assert data_of(Path("page.html").read_text("utf-8"))["lacking"] == 2
    read("a.png", *options, "--overwrite", "--mode", "ctc", code=0)  # begun anew
    assert [row["file"] for row in data_of(Path("page.html").read_text("utf-8"))["rows"]] == ["a.png"]
    Path("page.html").write_text("something else")
    assert "no report to go on with" in read("a.png", *options, "--mode", "ctc", code=2).stderr
    read("a.png", *options, "--mode", "ctc", "--overwrite", code=0)
    assert "OCRformer report" in Path("page.html").read_text("utf-8")


def test_a_resumed_report_forgets_failures_that_are_mended(read):
    options = ["-o", "rows.csv", "--resume", "--report", "page.html"]
    Path("z.png").symlink_to("later.png")
    read(".", *options, code=1)
    Path("later.png").write_bytes(Path("a.png").read_bytes())
    read(".", *options, code=0)
    page = data_of(Path("page.html").read_text("utf-8"))
    assert page["pictures"] == 4 and "failed" not in page["statuses"] and "read 4," in page["summary"]
    assert "failed 0" in page["summary"]


def test_sidecars_of_urls_cannot_be_gone_on_with(read):
    url = f"file://{Path('a.png').absolute()}"
    read(url, "--sidecars", "-f", "txt", code=0)
    assert (
        "--resume goes on beside files of this machine alone"
        in read(url, "--sidecars", "-f", "txt", "--resume", code=1).stderr
    )


def test_a_report_counts_files_not_their_pages(read):
    pages = [Image.new("L", (60, 20), 255) for _ in range(3)]
    pages[0].save("three.tif", save_all=True, append_images=pages[1:])
    read("a.png", "b.png", "-o", "rows.csv", code=0)
    options = ["-o", "rows.csv", "--resume", "--report", "page.html"]
    read("three.tif", *options, code=0)
    assert "lacks 2 pictures" in read("three.tif", "a.png", "b.png", *options, code=0).stderr


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.csv", "file,text"), ("a.TSV", "file\ttext"), ("a.json", "[\n"), ("a.html", "<?xml"), ("a", "{")],
)
def test_the_ending_of_the_output_tells_its_format(read, name, begins):
    read("a.png", "b.png", ".", "-o", name, code=0)
    assert Path(name).read_text("utf-8").startswith(begins)


def test_xml_may_be_of_two_kinds(read):
    assert "--format alto or --format page" in read("a.png", "-o", "a.xml", code=2).stderr


def test_what_is_no_picture_is_counted_and_nothing_at_all_is_an_error(read):
    Path("inner").mkdir()
    Path("inner/notes.txt").write_text("no picture")
    Path("inner/broken.png").write_text("called one")
    some = read("inner", code=1)
    assert "broken.png: not an image" in some.stderr and "no pictures: 1" in some.stderr
    Path("inner/broken.png").unlink()
    nothing = read("inner", code=2)
    assert "inner: no pictures there; --recursive looks into folders within" in nothing.stderr


def test_names_that_are_no_text_come_through_standard_input(model, tmp_path):
    odd = os.fsencode(str(tmp_path)) + b"/\xff.png"
    os.rename(picture(tmp_path / "a.png"), odd)
    done = subprocess.run(
        [sys.executable, "-m", "ocrformer", "read", "--model", model, "-"],
        input=odd + b"\n",
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("place", ["lines.zip", "samples"])
def test_progress_is_shown_on_terminals_whether_or_not_the_total_is_known(place, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress([place], False) as bar:
        bar.label = "40 images/s"
        bar.update(3)
    assert "40 images/s" in sys.stderr.getvalue() and "3" in sys.stderr.getvalue()


def test_nothing_is_replaced_where_there_is_nothing_to_read(read):
    Path("nothing").mkdir()
    Path("old.csv").write_text("of old")
    assert "no pictures there" in read("nothing", "-o", "old.csv", "--overwrite", code=2).stderr
    assert Path("old.csv").read_text() == "of old"


def test_reports_hold_lines_of_any_width_and_names_of_any_kind(read):
    Image.new("L", (17_000, 40), 255).save("long.png")
    read("", "long.png", "-o", "rows.csv", "--report", "page.html", code=1)
    first, second = sorted(data_of(Path("page.html").read_text("utf-8"))["rows"], key=lambda row: row["file"])
    assert first["label"] == "" and first["image"] is None
    assert second["image"].startswith("data:image/")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", [["data", "check", "samples"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_one_sentence(command):
    with Path("/dev/full").open("w") as full:
        program = [sys.executable, "-m", "ocrformer", *command]
        result = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, cwd=ROOT)
    assert result.returncode == 2 and result.stderr == "Error: cannot write the output (No space left on device)\n"


def test_a_reader_that_has_seen_enough_ends_the_program_as_shells_expect(tmp_path):
    """`ocrformer read many | head -1` failed at nothing: its status is that of a broken pipe, and it says nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "ocrformer", "data", "check", "samples"]
    result = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, cwd=ROOT)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2)])
def test_a_resumed_report_shows_no_page_of_a_replaced_picture(read, before, after):
    """However many pages a picture has now, it is counted once and shown as it is."""
    options = ["-o", "rows.csv", "--resume", "--report", "page.html"]
    for pages in (before, after):
        several = [Image.new("L", (60 + pages, 20), 255) for _ in range(pages)]
        several[0].save("x.tif", save_all=True, append_images=several[1:])
        read("x.tif", *options, code=0)
    page = data_of(Path("page.html").read_text("utf-8"))
    names = ["x.tif"] if after == 1 else [f"x.tif#{number}" for number in range(1, after + 1)]
    assert sorted(row["file"] for row in page["rows"]) == names
    assert page["pictures"] == 1 and page["omitted"] == 0


def test_lists_may_begin_with_names_like_a_picture_header(model, tmp_path):
    name = "P2 35 40 9 of the atlas"
    picture(tmp_path / "a.png").rename(tmp_path / name)
    command = [sys.executable, "-m", "ocrformer", "read", "--model", model, "-"]
    done = subprocess.run(command, input=f"{name}\n", cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_tree_may_hold_a_folder_of_any_name(read):
    Path("out/x").mkdir(parents=True)
    read("a.png", "--output-dir", "out", code=0)
    assert Path("out/a.png.txt").is_file()


def test_a_file_in_a_folder_that_takes_no_new_ones(read, monkeypatch):
    Path("rows.json").write_text("old")
    replace = Path.replace

    def busy(self, target):
        if Path(target).name == "rows.json":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    read("a.png", "-o", "rows.json", "--overwrite", code=0)
    assert json.loads(Path("rows.json").read_text())[0]["file"] == "a.png"
    assert not Path("rows.json.part").exists()


def test_rows_of_other_weights_are_not_gone_on_with(read, model):
    Path("own.safetensors").write_bytes(Path(model).read_bytes())
    options = ["-o", "rows.csv", "--resume", "--model", "own.safetensors"]
    read("a.png", *options, code=0)
    bundle = network.load(Path("own.safetensors"))
    with torch.no_grad():
        bundle.network.decoder.embedding.weight += 0.25
    network.save("own.safetensors", bundle)
    assert "begun with other options (weights " in read("a.png", "b.png", *options, code=2).stderr


def test_nothing_is_replaced_before_a_cluster_answers(read):
    Path("rows.csv").write_text("precious")
    refused = read("a.png", "-o", "rows.csv", "--overwrite", "--engine", "ray", "--address", "127.0.0.1:9", code=2)
    assert refused.stderr and Path("rows.csv").read_text() == "precious"


def test_names_that_end_like_pages_are_pictures_of_their_own_in_reports(read):
    picture(Path("c#1.png")).rename("c#1")
    picture(Path("c#2.png")).rename("c#2")
    options = ["-o", "rows.csv", "--resume", "--report", "page.html"]
    read("c#1", "c#2", *options, code=0)
    os.utime("c#2", (1, 1))
    read("c#1", "c#2", *options, code=0)
    page = data_of(Path("page.html").read_text("utf-8"))
    assert page["pictures"] == 2 and sorted(row["file"] for row in page["rows"]) == ["c#1", "c#2"]


def test_flaws_that_pillow_warns_of_are_not_the_users(model, tmp_path):
    """Here a TIFF with two entries where one belongs (tag 284, PlanarConfiguration)."""
    Image.new("L", (60, 20), 255).save(tmp_path / "a.tif")
    one, two = (struct.pack("<HHI", 284, 3, count) for count in (1, 2))
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes().replace(one, two))
    command = [sys.executable, "-m", "ocrformer", "read", "--model", model, "a.tif"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
