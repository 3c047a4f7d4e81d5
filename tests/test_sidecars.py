"""A file per image, beside it or in a tree."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image

from ocrformer.output_files import OutputError
from ocrformer.sidecars import SidecarWriter
from ocrformer.sources import Item, find
from ocrformer.transcribe import Windows
from tests.running import transcriber


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


def test_files_of_somebody_else_are_left_alone(tmp_path):
    """What was about to be written when a run was killed is not: it is read anew, and replaced."""
    for name in "ab":
        Image.new("L", (40, 20), 255).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png.txt").write_text("by hand")
    writer = SidecarWriter(None, "txt", resume=True)
    first, second = map(writer.admit, find([str(tmp_path / "a.png"), str(tmp_path / "b.png")]))
    assert first.error.endswith("a.png.txt exists and is of no earlier run; use --overwrite to replace it")
    assert SidecarWriter(None, "txt", resume=True, overwrite=True).admit(replace(first, error=None)).error is None
    with ThreadPoolExecutor(1) as executor:
        for results in transcriber(executor).run(Windows([second])):
            writer.write(results)
    journal = tmp_path / ".ocrformer.jsonl"
    about_to, _ = journal.read_text().splitlines(keepends=True)
    journal.write_text(about_to)  # as after a kill
    again = SidecarWriter(None, "txt", resume=True)
    assert again.admit(second).error is None and not again.is_done(second)


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


def test_a_journal_that_cannot_be_written_harms_no_other_folder(tmp_path):
    for name in ("no/a.png", "yes/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (40, 20), 255).save(tmp_path / name)
    (tmp_path / "no" / ".ocrformer.jsonl").mkdir()
    items = list(find([str(tmp_path / "no"), str(tmp_path / "yes")]))
    with ThreadPoolExecutor(1) as executor:
        writer = SidecarWriter(None, "txt", resume=False)
        for results in transcriber(executor).run(Windows(items, lambda _: False)):
            writer.write(results)
            (refused,), (read,) = (result.rows for result in results)
    assert ".ocrformer.jsonl: is a folder" in refused.error and read.error is None
    assert not (tmp_path / "no" / "a.png.txt").exists() and (tmp_path / "yes" / "b.png.txt").exists()
    assert len((tmp_path / "yes" / ".ocrformer.jsonl").read_text().splitlines()) == 2  # will be, and is


def test_members_of_one_name_have_no_file_each(tmp_path):
    writer = SidecarWriter(str(tmp_path / "out"), "txt", resume=False)
    first, again = (Item("a.zip/x.png", "a.zip/x.png", data=data) for data in (b"1", b"2"))
    assert writer.admit(first).error is None and "is for a.zip/x.png already" in writer.admit(again).error


def test_pages_cannot_climb_out_of_the_output_folder(tmp_path):
    writer = SidecarWriter(str(tmp_path / "out"), "txt", resume=False)
    assert writer.target(Item("x", "../../etc/passwd")) == f"{tmp_path}/out/etc/passwd.txt"
    beside = SidecarWriter(None, "txt", resume=False).admit(Item("a.zip/b.png", "a.zip/b.png", data=b""))
    assert "beside a member of an archive" in beside.error


def test_failed_pages_of_what_is_done_are_still_counted(tmp_path):
    pages = [Image.new("L", (40, 20), shade) for shade in (255, 250)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:-150])
    (item,) = find([str(tmp_path / "a.tif")])
    with ThreadPoolExecutor(1) as executor:
        for results in transcriber(executor).run(Windows([item])):
            assert [row.error is None for result in results for row in result.rows] == [True, False]
            SidecarWriter(None, "jsonl", resume=True).write(results)
    resumed = SidecarWriter(None, "jsonl", resume=True)
    assert resumed.is_done(item) and resumed.failed == 1


def test_an_image_that_is_listed_again_is_no_stranger(tmp_path):
    Image.new("L", (40, 20), 255).save(tmp_path / "a.png")
    (item,) = find([str(tmp_path)])
    writer = SidecarWriter(None, "txt", resume=False)
    assert writer.admit(item).error is None
    (tmp_path / "a.png.txt").write_text("of this run")
    assert writer.admit(item).error is None
    assert "exists" in (SidecarWriter(None, "txt", resume=False).admit(item).error or "")


def test_pictures_are_not_replaced_by_what_is_read_of_others(tmp_path):
    for name in ("a.jpg", "a.jpg.txt"):
        Image.new("L", (40, 20), 255).save(tmp_path / name, "JPEG")
    first, _ = find([str(tmp_path)])
    refused = SidecarWriter(None, "txt", resume=False, overwrite=True).admit(first)
    assert "is a picture or an archive" in (refused.error or "")


def test_names_that_no_file_can_have_are_refused(tmp_path):
    item = Item("x.tar/a\0b.png", "a\0b.png", data=b"x")
    assert "null character" in (SidecarWriter(str(tmp_path), "txt", resume=False).admit(item).error or "")


def read_into(out, *places):
    """A resumed run; what was refused, and the texts that are there."""
    writer = SidecarWriter(str(out), "txt", resume=True)
    items = [writer.admit(item) for item in find(map(str, places))]
    with ThreadPoolExecutor(1) as executor:
        for results in transcriber(executor).run(Windows(items, writer.is_done)):
            writer.write(results)
    return [item.error for item in items if item.error], {file.name: file.read_text() for file in out.glob("*.txt")}


def test_text_of_another_picture_of_that_name_is_not_this_ones(tmp_path):
    for name, width in (("one", 40), ("two", 60)):
        (tmp_path / name).mkdir()
        picture = Image.new("L", (width, 20), 255)
        picture.paste(0, (10, 5, 20, 15))
        picture.save(tmp_path / name / "a.png")
    out, one, two = tmp_path / "out", tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"
    _, first = read_into(out, one)
    refused, kept = read_into(out, two)
    assert refused == [f"{two}: {out}/a.png.txt is of {one}; read it into another folder, or --overwrite"]
    assert kept == first
    one.rename(tmp_path / "put-away.png")
    refused, replaced = read_into(out, two)
    assert not refused and replaced != first
    two.rename(tmp_path / "gone.png")
    (tmp_path / "put-away.png").rename(one)  # the very version that was read first
    refused, again = read_into(out, one)
    assert not refused and again == first


def test_a_journal_that_somebody_else_made_removes_nothing(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "precious").write_text("kept")
    Image.new("L", (40, 20), 255).save(images / "a.png")
    (images / "letter.txt").write_text("kept")
    made = [json.dumps([["a.png", 1, 1], [name], {"format": "txt"}, 0]) for name in ("../precious", "letter.txt")]
    (images / ".ocrformer.jsonl").write_text("\n".join(made) + "\n")
    writer = SidecarWriter(None, "txt", resume=True)
    with ThreadPoolExecutor(1) as executor:
        for results in transcriber(executor).run(Windows(find([str(images / "a.png")]), writer.is_done)):
            writer.write(results)
    assert (images / "a.png.txt").is_file()
    assert (tmp_path / "precious").is_file() and (images / "letter.txt").is_file()
