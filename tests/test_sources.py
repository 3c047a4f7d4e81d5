import io
import os
import tarfile
import threading
import zipfile

import fsspec
import pytest
from PIL import Image

from ocrformer.sources import count, find


def png(shade=200):
    buffer = io.BytesIO()
    Image.new("L", (40, 12), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "b.png").write_bytes(png())
    (tmp_path / "a.anything").write_bytes(png())  # found by content
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "fake.png").write_text("no picture either")
    (tmp_path / ".hidden.png").write_bytes(png())
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "c.png").write_bytes(png())
    return tmp_path


def names(items):
    return [item.relative for item in items]


def test_folders_give_what_begins_like_a_picture_sorted(tree):
    passed_over: list[str] = []
    here = [
        "a.anything",
        "b.png",
        "fake.png",
    ]  # what is called a picture is to be read, and its row says why it cannot be
    assert names(find([str(tree)], pass_over=passed_over.append)) == here
    assert passed_over == [str(tree / "notes.txt")]
    assert names(find([str(tree)], recursive=True)) == [*here, os.path.join("deep", "er", "c.png")]


def test_links_to_pictures_that_are_gone_are_items_with_the_reason(tree):
    (tree / "gone.png").symlink_to(tree / "nowhere.png")
    (gone,) = (item for item in find([str(tree)]) if item.relative == "gone.png")
    assert "cannot open file" in gone.error


def test_named_files_are_items_whatever_they_hold(tree):
    (item,) = find([str(tree / "notes.txt")])
    assert item.content() == b"no picture"


def test_globs_and_order(tree):
    assert names(find([str(tree / "*.png"), str(tree / "a.anything")])) == ["b.png", "fake.png", "a.anything"]


def test_missing_places_are_named(tree):
    for place in ("none", "*.tif"):
        missing, there = find([str(tree / place), str(tree / "b.png")])
        assert missing.error == f"{tree / place}: no such file or folder" and there.error is None
    (nameless,) = find([""])
    assert nameless.error == "'': no such file or folder"


def test_one_closed_folder_does_not_hide_the_others(tree, monkeypatch):
    (tree / "closed").mkdir()
    scan = os.scandir

    def refusing(folder):
        if folder.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    items = list(find([str(tree)], recursive=True))
    assert [item.error for item in items if item.error] == [
        f"{tree / 'closed'}: cannot list folder (Permission denied)"
    ]
    assert sum(item.error is None for item in items) >= 2


def test_pipes_are_read_once(tree):
    os.mkfifo(tree / "pipe")
    feeder = threading.Thread(target=lambda: (tree / "pipe").write_bytes(png(3)))
    feeder.start()
    (item,) = find([str(tree / "pipe")])
    feeder.join()
    assert item.content() == png(3)


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_archives(tree, kind):
    path = tree / f"lines.{kind}"
    content = {"x/1.png": png(1), "x/readme.md": b"text", "2.png": png(2)}
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if kind == "tgz" else "w") as archive:
            for name, data in content.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            for name, target, how in (
                ("3.png", "2.png", tarfile.LNKTYPE),
                ("4.png", "gone.png", tarfile.LNKTYPE),
                ("x/5.png", "1.png", tarfile.SYMTYPE),
                ("6.png", "6.png", tarfile.SYMTYPE),
            ):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = how, target
                archive.addfile(link)
    items = list(find([str(path)]))
    if kind != "zip":
        *items, linked, lost, symbolic, itself = items
        assert linked.content() == png(2) and lost.error.endswith("a link to gone.png, which is not in the archive")
        assert symbolic.content() == png(1) and itself.error.endswith("a link to 6.png, which is not in the archive")
    assert [item.name for item in items] == [f"{path}/x/1.png", f"{path}/2.png"]
    assert items[1].content() == png(2)
    assert items[0].size == path.stat().st_size
    assert f"lines.{kind}/x/1.png" in names(find([str(tree)]))


def test_hidden_members_are_left_out(tree):
    """macOS puts one beside every picture."""
    with zipfile.ZipFile(tree / "mac.zip", "w") as archive:
        for name in ("./scans/a.png", "__MACOSX/scans/._a.png", "scans/.small/a.png"):
            archive.writestr(name, png())
    assert names(find([str(tree / "mac.zip")])) == ["mac.zip/./scans/a.png"]


def test_damaged_archive_is_an_item_with_a_reason(tree):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("1.png", png())
    (tree / "bad.zip").write_bytes(whole.getvalue()[:-30])
    (item,) = find([str(tree / "bad.zip")])
    assert "damaged archive" in item.error


def test_a_damaged_member_does_not_hide_the_others(tree):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", png(number))
    spoilt = whole.getvalue().replace(png(1)[-20:], bytes(20), 1)
    (tree / "spoilt.zip").write_bytes(spoilt)
    first, second, third = find([str(tree / "spoilt.zip")])
    assert first.error is None and third.error is None and third.content() == png(2)
    assert second.error.startswith(f"{tree}/spoilt.zip/1.png: damaged in its archive")


def test_locked_members_say_so(tree):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("1.png", png())
    data = bytearray(whole.getvalue())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tree / "locked.zip").write_bytes(data)
    (item,) = find([str(tree / "locked.zip")])
    assert "encrypted" in item.error and "ZipInfo" not in item.error


def test_archive_members_do_not_inflate_without_end(tree, monkeypatch):
    monkeypatch.setattr("ocrformer.archives._MAX_MEMBER", 100)
    with zipfile.ZipFile(tree / "big.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", b"\x89PNG" + bytes(5000))
    (item,) = find([str(tree / "big.zip")])
    assert "larger than" in item.error


def test_urls(tree):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/one.png", png(1))
    memory.pipe_file("/bucket/text.txt", b"no")
    memory.pipe_file("/bucket/sub/two.png", png(2))
    try:
        (item,) = find(["memory://bucket"])
        assert item.content() == png(1)
        assert item.size == len(png(1))
        assert item.relative == "one.png"
        assert names(find(["memory://bucket"], recursive=True)) == ["one.png", "sub/two.png"]
        assert names(find(["memory://bucket/sub/two.png"])) == ["two.png"]
        memory.pipe_file("/bucket/.hidden.png", png(3))
        assert names(find(["memory://bucket", "memory://bucket/.hidden.png"])) == ["one.png", ".hidden.png"]
        memory.pipe_file("/bucket/lines.tgz", b"\x1f\x8b any content")
        packed, _, _ = found = list(find(["memory://bucket", "memory://bucket/lines.tgz"]))
        assert found[2].error == packed.error and "archives are read from local files only" in packed.error
        missing, there = find(["memory://bucket/none.png", "memory://bucket/one.png"])
        assert missing.error.startswith("memory://bucket/none.png: cannot read") and there.error is None
    finally:
        memory.rm("/bucket", recursive=True)
    assert names(find([f"file://{tree}"])) == ["a.anything", "b.png", "fake.png"]
    (item,) = find(["nonsense://x"])
    assert "cannot open this kind of storage" in item.error


def test_errors_of_a_driver_are_reasons(monkeypatch):
    """An HTTP driver raises exceptions of its library, which are no OSErrors."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/web/one.png", png(1))

    def refuse(*_, **__):
        raise RuntimeError("403, message='Forbidden'")

    try:
        for method, place in (("cat_file", "memory://web"), ("isdir", "memory://web")):
            with monkeypatch.context() as patch:
                patch.setattr(type(memory), method, refuse)
                (item,) = find([place])
            assert "cannot read (403, message='Forbidden')" in item.error
    finally:
        memory.rm("/web", recursive=True)


@pytest.mark.parametrize("damage", [slice(0, 700), slice(0, 1024), slice(1, 1)])
def test_a_tar_that_ends_too_soon_says_so(tmp_path, damage):
    """tarfile takes a damaged header for the end."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a.png", "b.png", "c.png"):
            member = tarfile.TarInfo(name)
            member.size = len(png(1))
            archive.addfile(member, io.BytesIO(png(1)))
    whole = path.read_bytes()
    assert [item.error for item in find([str(path)])] == [None, None, None]
    broken = bytearray(whole[damage] or whole)
    if damage == slice(1, 1):
        broken[1100:1200] = b"\xff" * 100  # in the second header
    path.write_bytes(bytes(broken))
    first, last = find([str(path)])
    assert first.error is None and "damaged archive" in last.error


def test_what_only_begins_like_a_picture(tree):
    """Notes may begin with P1 or P2, and a tar with a folder called BMP."""
    (tree / "note.txt").write_text("P1 priority\n")
    (tree / "pages.txt").write_text("P2 35 appendix, P3 36 index\n")
    (tree / "d.anything").write_bytes(b"P6\n# written by a program\n#\n2 1\n255\n" + bytes(6))
    (tree / "c.pgm").write_bytes(b"P5 2 2 255\n\0\0\0\0")
    assert names(find([str(tree)])) == ["a.anything", "b.png", "c.pgm", "d.anything", "fake.png"]
    with tarfile.open(tree / "bmp.tar", "w") as archive:
        archive.add(tree / "b.png", "BMP/b.png")
    assert names(find([str(tree / "bmp.tar")])) == ["bmp.tar/BMP/b.png"]


def test_links_that_lead_nowhere_are_passed_over(tree):
    (tree / "loop").symlink_to("loop")
    (tree / "gone").symlink_to("nowhere")
    assert names(find([str(tree)])) == ["a.anything", "b.png", "fake.png"]


def test_counting(tree):
    assert count([str(tree), "x.png"]) == 5  # what the folder shows, and the file
    assert count([str(tree / "*.png")]) == 2
    assert count(["a.tar"]) is None


def test_archives_are_known_by_content(tree):
    with tarfile.open(tree / "backup", "w") as archive:
        archive.add(tree / "b.png", "inside.png")
    assert "backup/inside.png" in names(find([str(tree)]))
    assert names(find([str(tree / "backup")])) == ["backup/inside.png"]


def test_an_archive_from_a_pipe_is_refused(tree):
    os.mkfifo(tree / "given")
    with zipfile.ZipFile(tree / "a.zip", "w") as archive:
        archive.write(tree / "b.png")
    writer = threading.Thread(target=lambda: (tree / "given").write_bytes((tree / "a.zip").read_bytes()))
    writer.start()
    (item,) = find([str(tree / "given")])
    writer.join()
    assert "cannot be read from a pipe" in item.error


def test_a_cut_archive_does_not_hide_its_neighbours(tree):
    with tarfile.open(tree / "whole.tar.gz", "w:gz") as archive:
        archive.add(tree / "b.png")
    cut = (tree / "whole.tar.gz").read_bytes()[:11]
    (tree / "whole.tar.gz").unlink()
    (tree / "aa.tar.gz").write_bytes(cut)
    items = {item.relative: item.error for item in find([str(tree)])}
    assert set(items) == {"a.anything", "aa.tar.gz", "b.png", "fake.png"}
    assert "damaged archive" in items["aa.tar.gz"] and items["b.png"] is None


def test_words_that_begin_like_a_bitmap_are_no_picture(tree):
    (tree / "list.txt").write_text("BMW and other makers of cars")
    assert "list.txt" not in names(find([str(tree)]))


def test_chained_storage_keeps_its_chain(tree):
    with zipfile.ZipFile(tree / "c.zip", "w") as archive:
        archive.writestr("d/a.png", png())
    inside = f"zip://d/a.png::file://{tree}/c.zip"
    (item,) = find([inside])
    assert item.error is None and item.name == inside and item.content() == png()
    (below,) = find([f"zip://d::file://{tree}/c.zip"])
    assert below.error is None and below.name == inside and below.relative == "a.png"
    (whole,) = find([f"file://{tree}/c.zip"])
    assert "archives are read from local files only" in whole.error


def test_an_archive_in_a_pipe_is_a_reason_and_no_wait(tree, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tree / "b.png", "b.png")
    os.mkfifo(tree / "pipe")
    feeder = threading.Thread(target=lambda: (tree / "pipe").write_bytes((tmp_path / "x.tar").read_bytes()))
    feeder.start()
    (item,) = find([str(tree / "pipe")])
    feeder.join()
    assert "an archive cannot be read from a pipe" in item.error


def test_what_cannot_be_unpacked_and_is_no_picture_is_passed_over(tmp_path):
    """As in a folder."""
    (tmp_path / "a.png").write_bytes(png())
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "a.png")
        for name in ("notes.txt", "gone.png", "unsure"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/nowhere"
            archive.addfile(link)
    over = []
    items = {item.relative: item.error for item in find([str(tmp_path / "x.tar")], pass_over=over.append)}
    assert set(items) == {"x.tar/a.png", "x.tar/gone.png", "x.tar/unsure"} and over == [f"{tmp_path}/x.tar/notes.txt"]
    assert items["x.tar/a.png"] is None and "not in the archive" in items["x.tar/gone.png"]


def test_globs_follow_no_links_in_circles(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.png").write_bytes(png())
    (tmp_path / "a" / "up").symlink_to("..")
    assert [item.name for item in find([f"{tmp_path}/**/*.png"])] == [f"{tmp_path}/a/one.png"]


def test_drivers_that_fail_to_connect_are_reasons(monkeypatch):
    def connect(url):
        raise TypeError("530 Login incorrect")

    monkeypatch.setattr(fsspec.core, "url_to_fs", connect)
    (item,) = find(["ftp://host/a.png"])
    assert item.error is not None and "cannot open this kind of storage" in item.error


def test_members_without_a_name_do_not_end_the_run(tree):
    with zipfile.ZipFile(tree / "odd.zip", "w") as archive:
        archive.writestr("a.png", png())
        archive.writestr(zipfile.ZipInfo(""), b"x")
    first, rest = find([str(tree / "odd.zip")])
    assert first.data == png() and rest.error is not None and "damaged archive" in rest.error
