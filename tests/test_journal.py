"""One growing file: resuming, and what may be overwritten."""

import io
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest
from PIL import Image

from ocrformer import journal
from ocrformer.journal import JournalWriter
from ocrformer.output_files import OutputError, put
from ocrformer.sources import Item, find
from ocrformer.transcribe import Windows
from ocrformer.writers import Destination, open_writer
from tests.running import run, transcriber


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


@pytest.mark.parametrize("after", [1, 2], ids=["journal", "rows"])
def test_a_kill_while_stale_rows_are_dropped_loses_nothing(tmp_path, monkeypatch, after):
    images, out = tmp_path / "images", tmp_path / "out.jsonl"
    images.mkdir()
    for name in "abc":
        Image.new("L", (40, 20), 255).save(images / f"{name}.png")
    run(images, JournalWriter(out, "jsonl", resume=False))
    Image.new("L", (90, 20), 255).save(images / "b.png")
    writer = JournalWriter(out, "jsonl", resume=True)
    done = []

    def killed(target, content):
        if len(done) == after:
            raise KeyboardInterrupt
        put(target, content)
        done.append(target)

    def moved(self, to):
        if self.name.endswith(".journal.new"):
            raise KeyboardInterrupt
        return os.replace(self, to)

    monkeypatch.setattr(journal, "put", killed)
    monkeypatch.setattr(journal.Path, "replace", moved)
    with pytest.raises(KeyboardInterrupt):
        run(images, writer)
    assert len(done) == after
    monkeypatch.undo()
    run(images, JournalWriter(out, "jsonl", resume=True))
    rows = [json.loads(row)["file"].rsplit("/")[-1] for row in out.read_text().splitlines()]
    assert sorted(rows) == ["a.png", "b.png", "c.png"]
    assert not (tmp_path / "out.jsonl.journal.new").exists()


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


def test_a_listing_that_failed_leaves_nothing_once_it_works(tmp_path):
    out = tmp_path / "out.jsonl"
    for items in ([Item("s3://store", "store", error="s3://store: no answer")], [Item("s3://store/a", "a", data=b"")]):
        writer = JournalWriter(out, "jsonl", resume=out.exists())
        with ThreadPoolExecutor(1) as executor:
            for results in transcriber(executor).run(Windows(items, writer.is_done)):
                writer.write(results)
        writer.close()
    assert [json.loads(line)["file"] for line in out.read_text().splitlines()] == ["s3://store/a"]


def test_what_was_read_and_is_gone_keeps_its_rows(tmp_path):
    """A share that is not mounted, originals that were put away."""
    images, out = tmp_path / "images", tmp_path / "out.jsonl"
    images.mkdir()
    for name in "ab":
        Image.new("L", (40, 20), 255).save(images / f"{name}.png")
    places = [str(images / f"{name}.png") for name in "abc"]
    written = []
    for present in (True, False, True):
        if not present:
            images.rename(tmp_path / "away")
        elif not images.exists():
            (tmp_path / "away").rename(images)
            Image.new("L", (40, 20), 255).save(images / "c.png")
        writer = JournalWriter(out, "jsonl", resume=out.exists())
        with ThreadPoolExecutor(1) as executor:
            for results in transcriber(executor).run(Windows(find(places), writer.is_done)):
                writer.write(results)
        writer.close()
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        written.append([(row["file"][-5:], row["status"] == "failed") for row in rows])
    kept = [("a.png", False), ("b.png", False)]
    assert written == [[*kept, ("c.png", True)], [*kept, ("c.png", True)], [*kept, ("c.png", False)]]


def test_a_run_that_does_not_resume_remembers_no_item(tmp_path):
    writer = JournalWriter(tmp_path / "out.jsonl", "jsonl", resume=False)
    assert not any(writer.is_done(Item(f"{number}.png", "x", 1, 1)) for number in range(100))
    assert not writer._done
    writer.close()


def test_resuming_needs_the_journal(tmp_path):
    (tmp_path / "out.jsonl").write_text("precious\n")
    with pytest.raises(OutputError, match="cannot resume without"):
        JournalWriter(tmp_path / "out.jsonl", "jsonl", resume=True)
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"


def open_for(form="jsonl", **options):
    return open_writer(Destination(form, **options), None)


def test_outputs_are_never_overwritten_by_accident(tmp_path):
    existing = tmp_path / "out"
    existing.write_text("precious")
    for form in ("jsonl", "alto"):
        with pytest.raises(OutputError, match="exists"):
            open_for(form, output=str(existing))
    with pytest.raises(OutputError, match="--resume needs"):
        open_for("alto", output=str(existing), resume=True)
    with pytest.raises(OutputError, match="--resume needs"):
        open_for(resume=True)
    assert existing.read_text() == "precious"


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


def test_output_to_urls(folder):
    memory = fsspec.filesystem("memory")
    try:
        writer = open_for("jsonl", output="memory://results/out.jsonl")
        run(folder, writer)
        assert memory.cat_file("/results/out.jsonl").count(b"\n") == 700
        mirror = open_for("txt", folder="memory://results/tree")
        run(folder, mirror, stop_after=0)
        assert memory.cat_file("/results/tree/0000.png.txt").startswith(b"w")
    finally:
        memory.rm("/results", recursive=True)


def test_rows_of_an_archive_that_was_mended_replace_what_was_lost(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (40, 20), 255).save(tmp_path / name)
    out, archive = tmp_path / "out.jsonl", tmp_path / "x.tar"
    with tarfile.open(archive, "w") as whole:
        for name in ("a.png", "b.png"):
            whole.add(tmp_path / name, name)
    good = archive.read_bytes()
    archive.write_bytes(good[: len(good) // 8])
    statuses = []
    for content in (None, good):
        if content:
            archive.write_bytes(content)
        writer = JournalWriter(out, "jsonl", resume=out.exists())
        with ThreadPoolExecutor(1) as executor:
            for results in transcriber(executor).run(Windows(find([str(archive)]), writer.is_done)):
                writer.write(results)
        writer.close()
        statuses.append(sorted(json.loads(line)["status"] for line in out.read_text().splitlines()))
    assert statuses[0][-1] == "failed" and statuses[1] == ["empty", "empty"]


def test_an_empty_journal_costs_no_rows(folder, tmp_path):
    out = tmp_path / "out.jsonl"
    run(folder, JournalWriter(out, "jsonl", resume=False), stop_after=1)
    before = out.read_bytes()
    (tmp_path / "out.jsonl.journal").write_bytes(b"")
    with pytest.raises(OutputError, match=r"out.jsonl.journal: empty, though out.jsonl is not"):
        JournalWriter(out, "jsonl", resume=True)
    assert out.read_bytes() == before


def test_a_journal_of_something_else_is_not_replaced_unasked(tmp_path):
    (tmp_path / "out.jsonl.journal").write_text("dear diary\n")
    with pytest.raises(OutputError, match="exists and is no journal of a run"):
        open_for(output=str(tmp_path / "out.jsonl"))
    assert (tmp_path / "out.jsonl.journal").read_text() == "dear diary\n"
    open_for(output=str(tmp_path / "out.jsonl"), overwrite=True).close()
    (tmp_path / "out.jsonl").unlink()  # as a kill leaves it that comes between the two
    open_for(output=str(tmp_path / "out.jsonl")).close()
