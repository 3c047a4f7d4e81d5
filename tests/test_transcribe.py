"""Runs over many images with a reader that needs no network, so that every path is quick to reach."""

import io
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pytest
from PIL import Image

from ocrformer import transcribe
from ocrformer.config import DecodeOptions
from ocrformer.journal import JournalWriter, OutputError
from ocrformer.line import Character, Line
from ocrformer.report import Report
from ocrformer.sidecars import SidecarWriter
from ocrformer.sources import Item, find
from ocrformer.transcribe import Summary, Transcriber, WindowReader, Windows, stamp
from ocrformer.writers import open_writer


def fake_read(lines, options):
    """Text and confidence depend on the picture, and the confidence on its batch, as rounding errors do."""
    jitter = len(lines) * 1e-3
    return [
        Line(f"w{line.shape[1]}", 0.5 + jitter % 0.4, "ok", (Character("w", 0.5),)) if line.max() > 200 else
        Line("", 1.0, "empty", ())
        for line in lines
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """700 pictures of all widths, a few of them broken."""
    folder = tmp_path_factory.mktemp("images")
    rng = random.Random(0)
    for index in range(700):
        path = folder / f"{index:04d}.png"
        if index % 97 == 5:
            path.write_bytes(b"\x89PNG broken")
        else:
            pixels = np.full((20, rng.randint(20, 400)), 255, np.uint8)
            pixels[5:15, 3:-3:7] = 0
            Image.fromarray(pixels).save(path)
    return folder


def transcriber(executor, **options):
    return Transcriber(WindowReader(fake_read, DecodeOptions(), **options), 32, executor)


def run(folder, writer, *, stop_after=None, **options):
    with ThreadPoolExecutor(2) as executor:
        for number, results in enumerate(
            transcriber(executor, **options).run(Windows(find([str(folder)]), writer.is_done))
        ):
            writer.write(results)
            if number == stop_after:  # as kill -9 would: no close()
                for handle in (getattr(writer, "_rows", None), getattr(writer, "_notes", None)):
                    if handle:
                        handle.close()
                return
    writer.close()


def test_rows_come_in_order_with_a_reason_where_there_is_no_text(folder):
    with ThreadPoolExecutor(2) as executor:
        results = [r for window in transcriber(executor).run(Windows(find([str(folder)]))) for r in window]
    assert [r.item.relative for r in results] == sorted(p.name for p in folder.iterdir())
    failed = [r.rows[0] for r in results if r.rows[0].error]
    assert len(failed) == len(range(5, 700, 97))
    assert all("damaged or truncated" in row.error and row.status == "failed" for row in failed)


def test_pages_of_a_tiff_are_rows_of_their_own(tmp_path):
    pages = [Image.new("L", (60 + 10 * i, 20), 255) for i in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    with ThreadPoolExecutor(1) as executor:
        ((result,),) = transcriber(executor).run(Windows(find([str(tmp_path)])))
    assert [row.file.rsplit("#")[-1] for row in result.rows] == ["1", "2", "3"]
    assert [row.width for row in result.rows] == [60, 70, 80]


def test_low_confidence_is_marked(folder):
    with ThreadPoolExecutor(2) as executor:
        results = [r for w in transcriber(executor, min_confidence=0.99).run(Windows(find([str(folder)]))) for r in w]
    assert {r.rows[0].status for r in results} == {"suspect", "failed"}


def test_timing_only_when_asked(folder):
    with ThreadPoolExecutor(2) as executor:
        timed = next(transcriber(executor, timing=True).run(Windows(find([str(folder)]))))
        plain = next(transcriber(executor).run(Windows(find([str(folder)]))))
    assert timed[0].rows[0].milliseconds is not None
    assert plain[0].rows[0].milliseconds is None


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "txt"])
@pytest.mark.parametrize("damage", ["none", "half a row", "half a note", "row without note"])
def test_resumed_output_is_byte_identical(folder, tmp_path, form, damage):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(folder, JournalWriter(whole, form, resume=False))
    run(folder, JournalWriter(parts, form, resume=False), stop_after=1)
    journal = tmp_path / "parts.journal"
    if damage == "half a row":
        with parts.open("ab") as file:
            file.write(b'{"file": "00')
    elif damage == "half a note":
        with journal.open("ab") as file:
            file.write(b'["0000.png", 3')
    elif damage == "row without note":
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-7]))
    assert len(parts.read_bytes()) < len(whole.read_bytes())
    run(folder, JournalWriter(parts, form, resume=True))
    assert parts.read_bytes() == whole.read_bytes()
    assert journal.read_bytes().count(b"\n") == 1 + 700  # settings and items
    again = JournalWriter(parts, form, resume=True)
    assert all(again.is_done(item) for item in find([str(folder)]))
    again.close()


def test_changed_and_new_images_are_read_again_on_resuming(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in "abc":
        Image.new("L", (40, 20), 0 if name == "b" else 255).save(images / f"{name}.png")
    out = tmp_path / "out.jsonl"
    run(images, JournalWriter(out, "jsonl", resume=False))
    Image.new("L", (90, 20), 255).save(images / "b.png")
    Image.new("L", (50, 20), 255).save(images / "d.png")
    run(images, JournalWriter(out, "jsonl", resume=True))
    rows = [json.loads(row)["file"].rsplit("/")[-1] for row in out.read_text().splitlines()]
    assert sorted(rows) == ["a.png", "b.png", "c.png", "d.png"]
    run(images, JournalWriter(out, "jsonl", resume=True))
    assert len(out.read_text().splitlines()) == 4


def test_what_was_out_of_reach_is_read_on_resuming(tmp_path):
    """Storage that did not answer is no fault of the picture's; a damaged one is not read again."""
    memory = fsspec.filesystem("memory")
    for name in "ab":
        Image.new("L", (40, 20), 255).save(buffer := io.BytesIO(), "PNG")
        memory.pipe_file(f"/store/{name}.png", buffer.getvalue())
    memory.pipe_file("/store/c.png", b"\x89PNG\r\n\x1a\n cut")
    items, out = list(find(["memory://store"])), tmp_path / "out.jsonl"
    content = memory.cat_file("/store/b.png")
    memory.rm("/store/b.png")
    try:
        for failed, fresh in ((2, 3), (2, 1), (1, 1), (1, 0)):
            if failed == 1:
                memory.pipe_file("/store/b.png", content)
            writer = JournalWriter(out, "jsonl", resume=out.exists())
            windows = Windows(items, writer.is_done)
            with ThreadPoolExecutor(1) as executor:
                for results in transcriber(executor).run(windows):
                    writer.write(results)
            writer.close()
            rows = [json.loads(line) for line in out.read_text().splitlines()]
            assert len(rows) == 3 and sum(row["status"] == "failed" for row in rows) == failed
            assert len(items) - windows.skipped == fresh
    finally:
        memory.rm("/store", recursive=True)


def test_resuming_needs_the_journal(tmp_path):
    (tmp_path / "out.jsonl").write_text("precious\n")
    with pytest.raises(OutputError, match="cannot resume without"):
        JournalWriter(tmp_path / "out.jsonl", "jsonl", resume=True)
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"


def open_for(tmp_path, form="jsonl", **options):
    defaults = dict.fromkeys(("output", "folder")) | dict.fromkeys(
        ("sidecars", "resume", "overwrite", "characters"), False
    )
    return open_writer(form, **(defaults | options), stdout=None)


def test_outputs_are_never_overwritten_by_accident(tmp_path):
    existing = tmp_path / "out"
    existing.write_text("precious")
    for form in ("jsonl", "alto"):
        with pytest.raises(OutputError, match="exists"):
            open_for(tmp_path, form, output=str(existing))
    with pytest.raises(OutputError, match="--resume needs"):
        open_for(tmp_path, "alto", output=str(existing), resume=True)
    with pytest.raises(OutputError, match="--resume needs"):
        open_for(tmp_path, resume=True)
    assert existing.read_text() == "precious"


def test_sidecars_mirror_the_tree_and_are_skipped_when_done(tmp_path):
    images = tmp_path / "in"
    (images / "sub").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "sub/b.png"):
        Image.new("L", (40, 20), 255).save(images / name)
    (images / "broken.png").write_bytes(b"\x89PNG")
    items = list(find([str(images)], recursive=True))
    writer = SidecarWriter(str(tmp_path / "out"), "alto", resume=True)
    with ThreadPoolExecutor(1) as executor:
        for results in transcriber(executor).run(Windows(items, writer.is_done)):
            writer.write(results)
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == [
        ".ocrformer.jsonl",
        "a.bmp.alto.xml",
        "a.png.alto.xml",
        "sub/.ocrformer.jsonl",
        "sub/b.png.alto.xml",
    ]

    def done():
        resumed = SidecarWriter(str(tmp_path / "out"), "alto", resume=True)
        return {item.relative: resumed.is_done(item) for item in find([str(images)], recursive=True)}

    assert done() == {"a.bmp": True, "a.png": True, "broken.png": False, "sub/b.png": True}
    os.utime(images / "a.png", (1, 1))  # another version, older than its transcript
    (tmp_path / "out" / "sub" / "b.png.alto.xml").unlink()
    assert done() == {"a.bmp": True, "a.png": False, "broken.png": False, "sub/b.png": False}


def test_sidecars_of_other_options_are_not_taken_for_done(tmp_path):
    Image.new("L", (40, 20), 255).save(tmp_path / "a.png")
    (item,) = find([str(tmp_path)])
    options = {"resume": True, "settings": {"model": "default"}}
    with ThreadPoolExecutor(1) as executor:
        for results in transcriber(executor).run(Windows([item])):
            SidecarWriter(None, "txt", **options).write(results)
    assert SidecarWriter(None, "txt", **options).is_done(item)
    assert not SidecarWriter(None, "alto", **options).is_done(item)
    other = options | {"settings": {"model": "mine"}}
    with pytest.raises(OutputError, match=r"a.png.txt: made with other options \(model default; use them, or"):
        SidecarWriter(None, "txt", **other).is_done(item)
    assert not SidecarWriter(None, "txt", **other, overwrite=True).is_done(item)


def test_sidecars_are_known_from_anywhere(tmp_path, monkeypatch):
    """And a corrected one stays as it is."""
    Image.new("L", (40, 20), 255).save(tmp_path / "a.png")
    for folder, place in ((tmp_path, "a.png"), (tmp_path.parent, str(tmp_path)), (tmp_path, ".")):
        monkeypatch.chdir(folder)
        writer = SidecarWriter(None, "txt", resume=True)
        with ThreadPoolExecutor(1) as executor:
            for results in transcriber(executor).run(Windows(find([place]), writer.is_done)):
                assert place == "a.png"
                writer.write(results)
        (tmp_path / "a.png.txt").write_text("corrected")
    os.utime(tmp_path / "a.png", (1, 1))
    assert not SidecarWriter(None, "txt", resume=True).is_done(next(find(["a.png"])))


def test_sidecars_of_another_folder_are_none_of_this_one(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("L", (40, 20), 255).save(tmp_path / name / "a.png")
    with ThreadPoolExecutor(1) as executor:
        writer = SidecarWriter(str(tmp_path / "out"), "txt", resume=True)
        for results in transcriber(executor).run(Windows(find([str(tmp_path / "one")]), writer.is_done)):
            writer.write(results)
    other = SidecarWriter(str(tmp_path / "out"), "txt", resume=True)
    assert [other.is_done(item) for item in find([str(tmp_path / "two")])] == [False]


def test_a_sidecar_that_cannot_be_written_is_a_row(tmp_path):
    """The others go on: names may be too long with their ending, and a folder may be in the way."""
    images = tmp_path / "in"
    images.mkdir()
    for name in ("a.png", "b" * 251 + ".png", "c.png"):
        Image.new("L", (40, 20), 255).save(images / name)
    (tmp_path / "out" / "c.png.txt").mkdir(parents=True)
    writer = SidecarWriter(str(tmp_path / "out"), "txt", resume=False)
    with ThreadPoolExecutor(1) as executor:
        windows = Windows(map(writer.admit, find([str(images)])))
        results = [result for window in transcriber(executor).run(windows) for result in window]
    writer.write(results)
    assert [result.rows[0].error is None for result in results] == [True, False, False]
    assert "too long" in results[1].rows[0].error and "is a folder" in results[2].rows[0].error
    assert (tmp_path / "out" / "a.png.txt").is_file()


def test_members_of_one_name_have_no_file_each(tmp_path):
    writer = SidecarWriter(str(tmp_path / "out"), "txt", resume=False)
    first, again = (Item("a.zip/x.png", "a.zip/x.png", data=data) for data in (b"1", b"2"))
    assert writer.admit(first).error is None and "is for a.zip/x.png already" in writer.admit(again).error


def test_pages_cannot_climb_out_of_the_output_folder(tmp_path):
    writer = SidecarWriter(str(tmp_path / "out"), "txt", resume=False)
    assert writer.target(Item("x", "../../etc/passwd")) == f"{tmp_path}/out/etc/passwd.txt"
    beside = SidecarWriter(None, "txt", resume=False).admit(Item("a.zip/b.png", "a.zip/b.png", data=b""))
    assert "beside a member of an archive" in beside.error


def test_output_to_urls(folder):
    import fsspec

    memory = fsspec.filesystem("memory")
    try:
        writer = open_for(None, "jsonl", output="memory://results/out.jsonl")
        run(folder, writer)
        assert memory.cat_file("/results/out.jsonl").count(b"\n") == 700
        mirror = open_for(None, "txt", folder="memory://results/tree")
        run(folder, mirror, stop_after=0)
        assert memory.cat_file("/results/tree/0000.png.txt").startswith(b"w")
    finally:
        memory.rm("/results", recursive=True)


def test_windows_bound_memory(folder, monkeypatch):
    """No more than the window being read and those decoded ahead are alive."""
    monkeypatch.setattr(transcribe, "WINDOW", 32)
    handed = []

    def items():
        for item in find([str(folder)]):
            handed.append(item)
            yield item

    with ThreadPoolExecutor(2) as executor:
        runs = transcriber(executor).run(Windows(items()))
        next(runs)
        assert len(handed) <= 3 * 32


def test_large_members_make_small_windows(monkeypatch):
    monkeypatch.setattr(transcribe, "_HELD", 1000)
    items = [Item(str(number), str(number), data=bytes(400)) for number in range(10)]
    assert [len(window.items) for window in Windows(items)] == [3, 3, 3, 1]


def test_summary_counts_everything(folder):
    summary = Summary()
    with ThreadPoolExecutor(2) as executor:
        for results in transcriber(executor).run(Windows(find([str(folder)]))):
            summary.add(row for result in results for row in result.rows)
    assert summary.failed == 8
    assert "read 692, of these empty 0 and suspect 0; failed 8" in str(summary)
    assert str(Summary()).startswith("read 0")


def test_report_keeps_the_most_doubtful_lines(folder):
    report, summary = Report(most=20, folder=str(folder.parent / "reports")), Summary()
    with ThreadPoolExecutor(2) as executor:
        for results in transcriber(executor).run(Windows(find([str(folder)]))):
            report.add(results)
    page = report.page(summary)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert len(data["rows"]) == 20
    assert data["omitted"] == 680
    assert [row["status"] for row in data["rows"][:8]] == ["failed"] * 8
    confidences = [row["confidence"] for row in data["rows"][8:]]
    assert confidences == sorted(confidences)
    assert data["rows"][10]["image"].startswith("data:image/webp;base64,")
    assert data["rows"][10]["label"].startswith(f"../{folder.name}/0")  # as seen from the page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing from elsewhere


def test_stamps_tell_versions_apart(folder):
    stamps = {stamp(item) for item in find([str(folder)])}
    assert len(stamps) == 700


def test_a_file_named_twice_is_resumed_twice(folder, tmp_path):
    """One that stands in two windows has rows of its own in each."""
    paths = sorted(map(str, folder.iterdir()))
    places = [paths[0], *paths[1:80], paths[0]]
    for stop, resume in ((0, False), (None, True)):
        writer = JournalWriter(tmp_path / "rows.csv", "csv", resume=resume)
        with ThreadPoolExecutor(2) as executor:
            for number, results in enumerate(transcriber(executor).run(Windows(find(places), writer.is_done))):
                writer.write(results)
                if number == stop:
                    break
        writer.close()
    rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert sum(row.startswith(paths[0]) for row in rows) == 2 and len(rows) == len(places) + 1
