"""Every data format that line recognisers use, good and malformed."""

import io
import json
import os
import re
import shutil
import unicodedata
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from ocrformer.datasets import DatasetError, _document, load_samples
from ocrformer.image import ImageError
from ocrformer.line import Line
from ocrformer.outputs import as_document
from ocrformer.rows import Row
from ocrformer.sources import find
from ocrformer.transcribe import decode
from tests.pictures import picture


def texts(place):
    return [sample.text for sample in load_samples(place)]


def test_tab_separated_keeps_quotes_and_further_tabs(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text('file\ttext\na.png\t"quoted\na.png\ttwo\ttabs\n', "utf-8")
    assert texts(tmp_path) == ['"quoted', "two\ttabs"]
    assert load_samples(tmp_path / "labels.tsv")[0].open().shape == (20, 80)


def test_gt_txt_pairs_with_all_their_endings(tmp_path):
    for name, ending in (("a", ".png"), ("b", ".bin.png"), ("c", ".nrm.png"), ("sub/d", ".tif")):
        picture(tmp_path / f"{name}{ending}")
        (tmp_path / f"{name}.gt.txt").write_text(f"text of {name}\r\n", "utf-8")
    assert sorted(texts(tmp_path)) == ["text of a", "text of b", "text of c", "text of sub/d"]
    (tmp_path / "lonely.gt.txt").write_text("x")
    with pytest.raises(ImageError, match="no picture"):  # the others are not lost for it
        next(sample for sample in load_samples(tmp_path) if sample.text == "x").open()


def test_csv_with_and_without_heading(tmp_path):
    (tmp_path / "labels.csv").write_text('id,filename,label\n1,a.png,"one, two"\n', "utf-8")
    assert texts(tmp_path) == ["one, two"]
    (tmp_path / "labels.csv").write_text("a.png,plain\n", "utf-8")
    assert texts(tmp_path) == ["plain"]


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl", "json"])
def test_results_are_labels(tmp_path, form):
    """What `ocrformer read` wrote, corrected by hand, can be learnt from."""
    rows = [Row("a.png", Line("one, two", 0.9, "ok", ())), Row("b.png", Line('"three"', 0.8, "ok", ()))]
    (tmp_path / f"labels.{form}").write_text(as_document(rows, form), "utf-8")
    table = tmp_path / f"labels.{form}"
    assert texts(table) == ["one, two", '"three"']
    assert [sample.name for sample in load_samples(table)] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


@pytest.mark.parametrize("where", ["", "train/"])
def test_hugging_face_imagefolder(tmp_path, where):
    picture(tmp_path / where / "x.png")
    rows = [{"file_name": "x.png", "text": "한글"}, {"file_name": "x.png", "text": "two"}]
    (tmp_path / where / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert texts(tmp_path) == ["한글", "two"]
    assert load_samples(tmp_path)[0].open().shape == (20, 80)


def test_lmdb_of_the_str_benchmarks(tmp_path):
    import lmdb

    data = picture(tmp_path / "x.png").read_bytes()
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"2")
        for index, label in ((1, "eins"), (2, "zwei")):
            transaction.put(b"image-%09d" % index, data)
            transaction.put(b"label-%09d" % index, label.encode())
    samples = load_samples(tmp_path / "db")
    assert [sample.text for sample in samples] == ["eins", "zwei"]
    assert samples[1].open().shape == (20, 80)
    assert texts(tmp_path / "db" / "data.mdb") == ["eins", "zwei"]
    whole = (tmp_path / "db" / "data.mdb").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "data.mdb").write_bytes(whole[: len(whole) - 4096])
    with pytest.raises(DatasetError, match="cut short"):  # reading it would kill the process
        load_samples(tmp_path / "cut")


PAGE = """<?xml version="1.0"?><PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
<Page imageFilename="p.png" imageWidth="200" imageHeight="100"><TextRegion id="r"><Coords points="0,0 200,0 200,100"/>
<TextLine id="l"><Coords points="10,20 60,22 60,40 10,38"/><TextEquiv index="1"><Unicode>worse</Unicode></TextEquiv>
<TextEquiv index="0"><Unicode>best text</Unicode></TextEquiv></TextLine></TextRegion></Page></PcGts>"""
ALTO = """<?xml version="1.0"?><alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>
<sourceImageInformation><fileName>p.png</fileName></sourceImageInformation></Description><Layout><Page><PrintSpace>
<TextBlock><TextLine HPOS="10" VPOS="20" WIDTH="50" HEIGHT="18"><String CONTENT="two"/><SP/><String CONTENT="words"/>
</TextLine></TextBlock></PrintSpace></Page></Layout></alto>"""


@pytest.mark.parametrize("points", ["0,-50 100,-10", "-90,0 -10,20", "0,400 90,420"])
def test_lines_beside_their_page_are_no_lines(tmp_path, points):
    Image.new("L", (300, 200), 255).save(tmp_path / "a.png")
    lines = f'<TextLine><Coords points="{points}"/><TextEquiv><Unicode>x</Unicode></TextEquiv></TextLine>'
    (tmp_path / "a.xml").write_text(f'<PcGts><Page imageFilename="a.png">{lines}</Page></PcGts>')
    (sample,) = load_samples(tmp_path)
    with pytest.raises(ImageError, match="outside the picture"):
        sample.open()


@pytest.mark.parametrize(("xml", "text", "shape"), [(PAGE, "best text", (21, 51)), (ALTO, "two words", (19, 51))])
def test_lines_are_cut_from_page_and_alto(tmp_path, xml, text, shape):
    Image.new("L", (200, 100), 255).save(tmp_path / "p.png")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "p.xml").write_text(xml)
    (sample,) = load_samples(tmp_path)
    assert sample.text == text
    assert sample.open().shape == shape


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("labels.csv", 'a.png,"x\nb.png,y\n', r"labels\.csv:2: no well-formed CSV"),
        ("labels.tsv", "file\ttext\tstatus\na.png\n", r"labels\.tsv:2: expected file<TAB>text<TAB>status"),
        ("labels.tsv", "a.png\tx\nno tab here\n", r"labels\.tsv:2: expected file<TAB>text"),
        ("labels.jsonl", '{"file": "a.png"}\n', r"labels\.jsonl:1: expected an object"),
        ("labels.json", '[{"file": "a.png", "text": "x"}, 3]', r"labels\.json, object 2: expected an object"),
        ("labels.json", '{"file": "a.png", "text": "x"}', r"labels\.json: expected an array of objects"),
        ("labels.json", "[", r"labels\.json: expected an object"),
        ("labels.csv", "only one\n", r"labels\.csv:1: expected a file and a text"),
        ("page.xml", "<PcGts", "not a readable XML"),
        ("notes.md", "nothing", "no labelled lines found"),
    ],
)
def test_malformed_data_names_file_and_place(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=says):
        load_samples(tmp_path / name if name == "labels.json" else tmp_path)


def test_missing_places_and_pictures(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        load_samples(tmp_path / "none")
    (tmp_path / "labels.tsv").write_text("gone.png\tx\n")
    (sample,) = load_samples(tmp_path)
    with pytest.raises(ImageError, match=r"gone\.png"):
        sample.open()
    (tmp_path / "labels.tsv").write_bytes("a.png\tÄ".encode("latin-1"))
    with pytest.raises(DatasetError, match="not UTF-8"):
        load_samples(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.mdb", b"no database", "not a readable LMDB"),
        ("page.xml", b'<PcGts><Page imageFilename="a.png"><TextLine><Coords points="1,2 3"/><TextEquiv><Unicode>x'
         b"</Unicode></TextEquiv></TextLine></Page></PcGts>", "places of its lines cannot be used"),
        ("page.xml", b'<PcGts><Page imageFilename="a.png"><TextLine><Coords points=""/><TextEquiv><Unicode>x'
         b"</Unicode></TextEquiv></TextLine></Page></PcGts>", "places of its lines cannot be used"),
        ("page.xml", b'<alto><TextLine HPOS=""><String CONTENT="a"/></TextLine></alto>', "places of its lines"),
        ("page.xml", b'<alto><TextLine><String CONTENT="x"/></TextLine></alto>', "places of its lines cannot be used"),
        ("page.xml", b"<alto>" + 2 * b'<Page><TextLine HPOS="1"/></Page>' + b"</alto>", "describes several pages"),
        ("labels.jsonl", b'{"file": "a.png", "text": ["x"]}', "expected an object"),
        ("labels.jsonl", b'{"file": "a.png", "text": null}', "expected an object"),
        ("labels.jsonl", b'{"file": "a.png", "text": "\\ud800"}', "no valid text"),
    ],
)  # fmt: skip
def test_more_malformed_labels_are_one_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=says):
        load_samples(tmp_path)


def test_a_folder_in_place_of_a_label_is_one_sentence(tmp_path):
    (tmp_path / "x.gt.txt").mkdir()
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="no labelled lines"):
        load_samples(tmp_path)


def test_labels_end_where_their_lines_end(tmp_path):
    (tmp_path / "labels.tsv").write_bytes("a.png\tone\u2028two\x0cthree\r\n\r\nb.png\tfour\n".encode())
    assert [sample.text for sample in load_samples(tmp_path)] == ["one\u2028two\x0cthree", "four"]
    (tmp_path / "labels.tsv").unlink()
    (tmp_path / "labels.csv").write_bytes(b'file,text\r\na.png,"two\r\nlines"\r\n')
    assert [sample.text for sample in load_samples(tmp_path)] == ["two\r\nlines"]


HYPHENED = """<alto><Description><MeasurementUnit>{unit}</MeasurementUnit><sourceImageInformation>
<fileName>page.png</fileName></sourceImageInformation></Description><Layout><TextLine HPOS="1" VPOS="2" WIDTH="30"
HEIGHT="10"><String CONTENT="two"/><SP/><String CONTENT="wor"/><HYP{hyphen}/></TextLine></Layout></alto>"""


@pytest.mark.parametrize(("hyphen", "text"), [("", "two wor-"), (' CONTENT="="', "two wor=")])
def test_hyphens_of_alto_belong_to_the_text(tmp_path, hyphen, text):
    Image.new("L", (60, 40), 255).save(tmp_path / "page.png")
    (tmp_path / "page.xml").write_text(HYPHENED.format(unit="pixel", hyphen=hyphen), "utf-8")
    (sample,) = load_samples(tmp_path / "page.xml")
    assert sample.text == text and sample.open().shape == (11, 31)


@pytest.mark.parametrize(
    ("line", "text", "shape"),
    [
        ('<TextLine HPOS="1" VPOS="2" WIDTH="30" HEIGHT="10"><String CONTENT="two"/>'
         '<String CONTENT="words"/></TextLine>', "two words", (11, 31)),
        ('<TextLine><Shape><Polygon POINTS="4,3 20,3 20,9 4,8"/></Shape>'
         '<String CONTENT="x"/></TextLine>', "x", (7, 17)),
        ('<TextLine><String HPOS="2" VPOS="5" WIDTH="9" HEIGHT="4" CONTENT="a"/><SP/>'
         '<String HPOS="20" VPOS="4" WIDTH="9" HEIGHT="6" CONTENT="b"/></TextLine>', "a b", (7, 28)),
        ('<TextLine WIDTH="40"><String HPOS="2" VPOS="5" WIDTH="9" HEIGHT="4" CONTENT="a"/></TextLine>', "a", (5, 10)),
    ],
)  # fmt: skip
def test_what_alto_leaves_out(tmp_path, line, text, shape):
    """Spaces between words, and the place of a line beside its outline or its words."""
    Image.new("L", (60, 40), 255).save(tmp_path / "page.png")
    source = "<Description><sourceImageInformation><fileName>page.png</fileName></sourceImageInformation></Description>"
    (tmp_path / "page.xml").write_text(f"<alto>{source}<Layout><Page>{line}</Page></Layout></alto>")
    (sample,) = load_samples(tmp_path / "page.xml")
    assert sample.text == text and sample.open().shape == shape


def test_points_of_page_before_2013(tmp_path):
    Image.new("L", (60, 40), 255).save(tmp_path / "a.png")
    points = "".join(f'<Point x="{x}" y="{y}"/>' for x, y in ((1, 2), (30, 2), (30, 11)))
    line = f"<TextLine><Coords>{points}</Coords><TextEquiv><Unicode>x</Unicode></TextEquiv></TextLine>"
    (tmp_path / "a.xml").write_text(f'<PcGts><Page imageFilename="a.png">{line}</Page></PcGts>')
    (sample,) = load_samples(tmp_path)
    assert sample.open().shape == (10, 30)


def test_places_in_other_units_than_pixels_are_refused(tmp_path):
    (tmp_path / "page.xml").write_text(HYPHENED.format(unit="mm10", hyphen=""), "utf-8")
    with pytest.raises(DatasetError, match="mm10, and only pixels"):
        load_samples(tmp_path / "page.xml")


def test_an_lmdb_can_be_loaded_twice(tmp_path):
    import lmdb

    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"1")
        transaction.put(b"label-000000001", b"word")
    assert [load_samples(tmp_path / "db")[0].text for _ in range(2)] == ["word", "word"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_corrected_rows_of_archives_and_pages_are_labels(tmp_path, kind):
    """What `ocrformer read` calls its rows can be learnt from: members of archives, pages of a TIFF, and both."""
    pages = [Image.new("L", (60 + 10 * i, 20), 255) for i in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    picture(tmp_path / "in" / "a#1.png", 90)
    shutil.copy(tmp_path / "scan.tif", tmp_path / "in" / "scan.tif")
    archive = shutil.make_archive(str(tmp_path / "lines"), {"tgz": "gztar"}.get(kind, kind), tmp_path / "in")
    found = [row.name for item in find([archive, str(tmp_path / "scan.tif")]) for row in decode(item, 32)]
    assert len(found) == 7
    names = [os.path.relpath(name, tmp_path) for name in found]
    (tmp_path / "labels.tsv").write_text("".join(f"{name}\tx\n" for name in names), "utf-8")
    assert sorted(sample.open().shape[1] for sample in load_samples(tmp_path)) == [60, 60, 70, 70, 80, 80, 90]
    broken = [f"{names[0]}x", "scan.tif#4", "scan.tif#0", "scan.tif#x", "x" * 300, os.path.relpath(archive, tmp_path)]
    (tmp_path / "labels.tsv").write_text("".join(f"{name}\tx\n" for name in broken), "utf-8")
    for sample in load_samples(tmp_path):
        with pytest.raises(ImageError):
            sample.open()


def test_results_written_elsewhere_name_their_pictures_from_here(tmp_path, monkeypatch):
    picture(tmp_path / "scans" / "a.png", 90)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    Path("out/rows.jsonl").write_text('{"file": "scans/a.png", "text": "one"}\n{"file": "lost.png", "text": "two"}\n')
    found, lost = load_samples("out/rows.jsonl")
    assert found.open().shape == (20, 90)
    assert lost.name == "out/lost.png"  # beside the table, where labels lie


@pytest.mark.parametrize("word", ["Image", "File", "Path", "filename", "text"])
@pytest.mark.parametrize("form", ["tsv", "csv"])
def test_a_label_that_is_a_word_of_headings_makes_no_heading(tmp_path, word, form):
    mark = {"tsv": "\t", "csv": ","}[form]
    (tmp_path / f"labels.{form}").write_text(f"1.png{mark}{word}\n2.png{mark}cat\n")
    assert [(Path(s.name).name, s.text) for s in load_samples(tmp_path)] == [("1.png", word), ("2.png", "cat")]


def test_results_whose_empty_last_cells_were_cut_off(tmp_path):
    table = tmp_path / "rows.tsv"
    table.write_text("file\ttext\tconfidence\tstatus\tmilliseconds\terror\na.png\tfoo\t0.9\tok\n")
    assert [sample.text for sample in load_samples(table)] == ["foo"]


def test_endings_in_capitals_have_a_pair(tmp_path):
    picture(tmp_path / "line1.png").rename(tmp_path / "line1.PNG")
    picture(tmp_path / "line2.pgm")
    for name in ("line1", "line2"):
        (tmp_path / f"{name}.gt.txt").write_text(name)
    assert [sample.open().shape for sample in load_samples(tmp_path)] == [(20, 80)] * 2


def test_own_page_files_of_a_tiff_find_their_page(tmp_path):
    pages = [Image.new("L", (60 + 10 * i, 20), 255) for i in range(2)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    line = Line("word", 0.9, "ok", ())
    xml = as_document([Row(str(tmp_path / "scan.tif#2"), line, None, 70, 20)], "page")
    (tmp_path / "scan.tif#2.page.xml").write_text(xml)
    (sample,) = load_samples(tmp_path)
    assert (sample.text, sample.open().shape) == ("word", (20, 70))


def test_pages_may_be_larger_than_lines(tmp_path):
    Image.new("1", (7100, 9950), 1).save(tmp_path / "page.png")
    xml = PAGE.replace("p.png", "page.png").replace('"200" imageHeight="100"', '"7100" imageHeight="9950"')
    (tmp_path / "page.xml").write_text(xml)
    assert load_samples(tmp_path)[0].open().shape == (21, 51)


def test_labels_may_name_remote_pictures(tmp_path):
    content = picture(tmp_path / "a.png").read_bytes()
    fsspec.filesystem("memory").pipe_file("/labels/a.png", content)
    pages = [Image.new("L", (60 + 10 * i, 20), 255) for i in range(2)]
    pages[0].save(buffer := io.BytesIO(), "TIFF", save_all=True, append_images=pages[1:])
    fsspec.filesystem("memory").pipe_file("/labels/scan.tif", buffer.getvalue())
    rows = [f"memory://labels/{name}\tx\n" for name in ("a.png", "scan.tif#2", "b.png", "scan.tif#3")]
    (tmp_path / "labels.tsv").write_text("".join(rows), "utf-8")
    there, page, *missing = load_samples(tmp_path)
    assert there.open().shape == (20, 80) and page.open().shape == (20, 70)
    for sample, reason in zip(missing, ("cannot read", "there is no page 3"), strict=True):
        with pytest.raises(ImageError, match=reason):
            sample.open()


@pytest.mark.parametrize("heading", ["", "file,text\n"])
def test_texts_cut_by_commas_are_an_error(tmp_path, heading):
    (tmp_path / "labels.csv").write_text(f"{heading}a.png,Hello, world\n")
    with pytest.raises(DatasetError, match="too many cells; put a text that holds commas in quotes"):
        load_samples(tmp_path / "labels.csv")


def test_alto_lines_without_text_need_no_place(tmp_path):
    Image.new("L", (100, 40), 255).save(tmp_path / "page.png")
    placed = '<TextLine HPOS="0" VPOS="0" WIDTH="90" HEIGHT="30"><String CONTENT="x"/></TextLine>'
    source = "<Description><sourceImageInformation><fileName>page.png</fileName></sourceImageInformation></Description>"
    (tmp_path / "page.xml").write_text(f'<alto>{source}<Page><TextLine ID="empty"/>{placed}</Page></alto>')
    assert [sample.text for sample in load_samples(tmp_path / "page.xml")] == ["x"]


def test_hidden_files_and_files_of_other_kinds_are_left_out(tmp_path):
    for name in ("a.png", "inner/b.png"):
        picture(tmp_path / name)
    (tmp_path / "._a.gt.txt").write_bytes(b"\x00\x05\x16\x07\xff")  # as Macs put it into archives
    (tmp_path / "inner" / "metadata.csv").write_text("file_name,text\nb.png,two\n", "utf-8")
    (tmp_path / "project.xml").write_text("<project/>")
    assert texts(tmp_path) == ["two"]
    (tmp_path / "a.gt.txt").write_text("one", "utf-8")
    assert texts(tmp_path) == ["one"]


def test_linked_folders_count_once_and_circles_end(tmp_path):
    picture(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "a.gt.txt").write_text("one", "utf-8")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "set")
    assert texts(tmp_path / "set") == ["one"]


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    (tmp_path / "a.gt.txt").write_text("one", "utf-8")
    (tmp_path / "locked").mkdir()
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(DatasetError, match=r"locked: cannot read labels \(Permission denied\)"):
        load_samples(tmp_path)


def test_pictures_are_found_as_other_systems_spell_them(tmp_path):
    picture(tmp_path / "img" / unicodedata.normalize("NFD", "가나.png"))
    (tmp_path / "labels.tsv").write_text("img\\가나.png\thangul\n", "utf-8")
    (sample,) = load_samples(tmp_path)
    assert sample.open().shape == (20, 80)


def test_page_lines_may_have_their_text_in_words_and_names_their_backslashes(tmp_path):
    Image.new("L", (200, 100), 255).save(tmp_path / "p.png")
    words = "".join(f"<Word><TextEquiv><Unicode>{word}</Unicode></TextEquiv></Word>" for word in ("two", "words"))
    line = f'<TextLine><Coords points="1,1 50,20"/>{words}</TextLine>'
    (tmp_path / "p.xml").write_text(f'<PcGts><Page imageFilename="C:\\scans\\p.png">{line}</Page></PcGts>')
    assert texts(tmp_path) == ["two words"]


def test_a_place_without_a_name_is_not_the_present_folder(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("a.png\tx\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="without a name"):
        load_samples("")


@pytest.mark.parametrize("points", ["", "1,x 2,3", "inf,1 2,3", "5"])
def test_a_line_without_a_place_is_named(tmp_path, points):
    Image.new("L", (200, 100), 255).save(tmp_path / "p.png")
    line = f'<TextLine id="r1l3"><Coords points="{points}"/><TextEquiv><Unicode>x</Unicode></TextEquiv></TextLine>'
    (tmp_path / "p.xml").write_text(f'<PcGts><Page imageFilename="p.png">{line}</Page></PcGts>')
    with pytest.raises(DatasetError, match=r"p\.xml: .*line r1l3: "):
        load_samples(tmp_path)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("doc03/007.png", "doc04/007.png"),  # numbers in a folder for each document
        ("page03.line007.png", "page04.line007.png"),
        ("scan_2024.01.03_007.bin.png", "scan_2024.01.04_007.bin.png"),
        ("page03_007_crop.png", "page04_007_crop.png"),
        ("page03-7.gt.txt", "page04-7.gt.txt"),
        ("scan03.tif#7", "scan04.tif#7"),
        ("0003007.png", "0004007.png"),
    ],
)
def test_lines_of_a_document_are_known_by_their_names(line, other):
    """Otherwise lines of one document would be learnt from and tested on."""
    same = line.replace("007", "012").replace("-7", "-12").replace("#7", "#12")
    assert _document(line) == _document(same) != _document(other)


@pytest.mark.parametrize("size", [(100, 50), (400, 200)], ids=["smaller", "larger"])
@pytest.mark.parametrize("xml", [PAGE, ALTO.replace("<Page>", '<Page WIDTH="200" HEIGHT="100">')], ids=["page", "alto"])
def test_lines_are_cut_from_scaled_page_pictures(tmp_path, xml, size):
    page = Image.new("L", (200, 100), 255)
    page.paste(0, (10, 20, 61, 39))
    page.resize(size).save(tmp_path / "p.png")
    (tmp_path / "p.xml").write_text(xml)
    (sample,) = load_samples(tmp_path)
    pixels = sample.open()
    assert abs(pixels.shape[1] - 51 * size[0] / 200) <= 1 and pixels.mean() < 60
    page.resize((200, 150)).save(tmp_path / "q.png")
    (tmp_path / "p.xml").write_text(xml.replace("p.png", "q.png"))
    with pytest.raises(ImageError, match="is 200 x 150 pixels, and its lines were drawn on 200 x 100"):
        load_samples(tmp_path)[0].open()


def test_a_page_line_that_someone_cleared_is_none(tmp_path):
    Image.new("L", (200, 100), 255).save(tmp_path / "p.png")
    words = '<Word><Coords points="0,0 9,9"/><TextEquiv><Unicode>stale</Unicode></TextEquiv></Word>'
    for text in ("", " "):
        xml = PAGE.replace("best text", text).replace("<TextEquiv index", words + "<TextEquiv index", 1)
        (tmp_path / "p.xml").write_text(xml)
        with pytest.raises(DatasetError, match="no labelled lines"):
            load_samples(tmp_path)


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl"])
def test_rows_of_pictures_that_could_not_be_read_are_no_labels(tmp_path, form):
    """An empty label would teach that nothing is written there."""
    rows = [
        Row("a.png", Line("one", 0.9, "ok", ())),
        Row("b.png", None, "b.png: damaged"),
        Row("c.png", Line("", 0.9, "empty", ())),
    ]
    (tmp_path / f"labels.{form}").write_text(as_document(rows, form), "utf-8")
    assert texts(tmp_path) == ["one", ""]
    (tmp_path / "labels.tsv").write_text("file\ttext\tstatus\nb.png\twritten by hand\tfailed\n", "utf-8")
    assert texts(tmp_path / "labels.tsv") == ["written by hand"]


def test_what_a_folder_holds_besides_is_told(tmp_path, caplog):
    (tmp_path / "LABELS.TSV").write_text("a.png\tused\n", "utf-8")
    (tmp_path / "metadata.csv").write_text("file_name,text\nb.png,other\n", "utf-8")
    picture(tmp_path / "c.png")
    (tmp_path / "c.GT.TXT").write_text("pair", "utf-8")
    (tmp_path / "._c.gt.txt").write_bytes(b"of a Mac")
    assert texts(tmp_path) == ["used"]
    assert "metadata.csv and 1 more: its lines are not used, as LABELS.TSV is there" in caplog.text
    (tmp_path / "LABELS.TSV").unlink()
    (tmp_path / "metadata.csv").unlink()
    assert texts(tmp_path) == ["pair"]


def test_tables_in_folders_of_a_folder_and_pages_told_twice(tmp_path, caplog):
    for name in ("one", "two"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        (tmp_path / "sets" / name / "labels.tsv").write_text(f"a.png\t{name}\n", "utf-8")
    assert texts(tmp_path / "sets") == ["one", "two"]
    export = tmp_path / "export"
    for name, xml in (("alto", ALTO), ("page", PAGE)):
        (export / name).mkdir(parents=True)
        (export / name / "P.XML").write_text(xml)
    Image.new("L", (200, 100), 255).save(export / "p.png")
    assert texts(export) == ["two words"]
    assert "passed over, as another file has lines of" in caplog.text


def test_tables_below_are_told_of_and_each_folder_is_read_once(tmp_path, caplog):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.tsv").write_text(f"a.png\t{name}\n", "utf-8")
        (tmp_path / name / "metadata.csv").write_text(f"file_name,text\na.png,{name}\n", "utf-8")
    assert texts(tmp_path) == ["one", "two"]
    assert caplog.text.count("metadata.csv: its lines are not used, as labels.tsv is there") == 2
    picture(tmp_path / "c.png")
    (tmp_path / "c.gt.txt").write_text("pair", "utf-8")
    caplog.clear()
    assert texts(tmp_path) == ["pair"]
    assert "labels.tsv and 3 more: its lines are not used, as c.gt.txt is there" in caplog.text


def test_pages_in_a_folder_of_their_own_find_pictures_named_by_another_system(tmp_path):
    Image.new("L", (200, 100), 255).save(tmp_path / "p.png")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "p.xml").write_text(PAGE.replace('"p.png"', '"C:\\scans\\p.png"'))
    (sample,) = load_samples(tmp_path)
    assert sample.open().shape == (21, 51)


def test_tables_of_old_macs_have_lines_too(tmp_path):
    (tmp_path / "labels.tsv").write_bytes(b"a.png\tone\rb.png\ttwo\r")
    assert texts(tmp_path) == ["one", "two"]


def test_labels_below_a_table_are_told_of(tmp_path, caplog):
    for name in ("labels.tsv", "more/labels.tsv"):
        picture(tmp_path / name.replace("labels.tsv", "a.png"))
        (tmp_path / name).write_text("a.png\ttext\n")
    (tmp_path / "more" / "b.gt.txt").write_text("text")
    assert len(load_samples(tmp_path)) == 1
    assert "b.gt.txt and 1 more: its lines are not used, as labels.tsv is there" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metadata.csv", "id,file_name,sentence\n1,a.png,Hello\n", "its heading names no column of texts (text, label"),
        ("labels.tsv", "file_name\tsentence\na.png\tHello\n", "its heading names no column of texts"),
    ],
)
def test_headings_without_texts_are_told_of(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=re.escape(f"{name}:1: {says}")):
        load_samples(tmp_path)


def test_headings_may_have_room(tmp_path):
    (tmp_path / "labels.tsv").write_text("file \t text\na.png\tHello\n")
    assert texts(tmp_path) == ["Hello"]


def _page(lines, more=""):
    return f'<PcGts><Page imageFilename="p.png">{lines}</Page>{more}</PcGts>'


_PLACED = '<TextLine id="l"><Coords points="{}"/><TextEquiv index="{}"><Unicode>x</Unicode></TextEquiv></TextLine>'


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (_page("<TextLine>" + "<Word>" * 5000 + "</Word>" * 5000 + "</TextLine>"), "not a readable XML file"),
        (_page(_PLACED.format("0 20", 0)), "line l: a point is two numbers and a comma, not '0'"),
        (_page(_PLACED.format("0,0,5 20,20", 0)), "line l: a point is two numbers and a comma, not '0,0,5'"),
        (_page(_PLACED.format("0,0 9,9", 0), f"<Page>{_PLACED}</Page>"), "describes several pages"),
        ('<?xml version="1.0" encoding="utf-7"?><PcGts/>', "not a readable XML file"),
        (
            '<alto><TextLine ID="q"><Shape><Polygon POINTS="1 2 3"/></Shape><String CONTENT="x"/></TextLine></alto>',
            "line q: its outline ends with half a point",
        ),
    ],
    ids=["nested", "half", "three", "two pages", "encoding", "outline"],
)
def test_more_malformed_pages_are_one_sentence(tmp_path, xml, says):
    (tmp_path / "p.xml").write_text(xml)
    picture(tmp_path / "p.png")
    with pytest.raises(DatasetError, match=re.escape(says)):
        load_samples(tmp_path / "p.xml")


def test_an_index_that_is_no_number_ranks_first(tmp_path):
    picture(tmp_path / "p.png")
    (tmp_path / "p.xml").write_text(_page(_PLACED.format("0,0 9,9", "abc")))
    assert texts(tmp_path / "p.xml") == ["x"]


def test_a_picture_without_an_ending_may_be_a_file(tmp_path):
    (tmp_path / "labels.tsv").write_text("0001\tFile\n")
    assert texts(tmp_path) == ["File"]


def test_a_json_file_of_another_kind_displaces_no_labels(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.gt.txt").write_text("text")
    (tmp_path / "labels.json").write_text('{"a.png": "x"}')
    assert texts(tmp_path) == ["text"]
