"""Every data format that line recognisers use, good and malformed."""

import io
import json
import os
import pickle
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ocrformer.charset import Charset
from ocrformer.cli import main
from ocrformer.datasets import DatasetError, Sample, load_samples
from ocrformer.image import ImageError
from ocrformer.inspection import folds, frames_needed, inspect, split, summary
from ocrformer.line import Line
from ocrformer.model.network import save
from ocrformer.outputs import as_document
from ocrformer.rows import Row
from ocrformer.sources import find
from ocrformer.transcribe import decode
from tests.conftest import tiny_bundle


def picture(path, width=80, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((20, width), 255, np.uint8)
    pixels[5:15, 5:-5:6] = shade
    Image.fromarray(pixels).save(path)
    return path


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
    with pytest.raises(DatasetError, match="no picture"):
        load_samples(tmp_path)


def test_csv_with_and_without_heading(tmp_path):
    (tmp_path / "labels.csv").write_text('id,filename,label\n1,a.png,"one, two"\n', "utf-8")
    assert texts(tmp_path) == ["one, two"]
    (tmp_path / "labels.csv").write_text("a.png,plain\n", "utf-8")
    assert texts(tmp_path) == ["plain"]


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl"])
def test_results_are_labels(tmp_path, form):
    """What `ocrformer read` wrote, corrected by hand, can be learnt from."""
    rows = [Row("a.png", Line("one, two", 0.9, "ok", ())), Row("b.png", Line('"three"', 0.8, "ok", ()))]
    (tmp_path / f"labels.{form}").write_text(as_document(rows, form), "utf-8")
    assert texts(tmp_path) == ["one, two", '"three"']
    assert [sample.name for sample in load_samples(tmp_path)] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


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


PAGE = """<?xml version="1.0"?><PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
<Page imageFilename="p.png" imageWidth="200" imageHeight="100"><TextRegion id="r"><Coords points="0,0 200,0 200,100"/>
<TextLine id="l"><Coords points="10,20 60,22 60,40 10,38"/><TextEquiv index="1"><Unicode>worse</Unicode></TextEquiv>
<TextEquiv index="0"><Unicode>best text</Unicode></TextEquiv></TextLine></TextRegion></Page></PcGts>"""
ALTO = """<?xml version="1.0"?><alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>
<sourceImageInformation><fileName>p.png</fileName></sourceImageInformation></Description><Layout><Page><PrintSpace>
<TextBlock><TextLine HPOS="10" VPOS="20" WIDTH="50" HEIGHT="18"><String CONTENT="two"/><SP/><String CONTENT="words"/>
</TextLine></TextBlock></PrintSpace></Page></Layout></alto>"""


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
        ("labels.tsv", "file\ttext\tstatus\na.png\tx\n", r"labels\.tsv:2: expected file<TAB>text<TAB>status"),
        ("labels.tsv", "a.png\tx\nno tab here\n", r"labels\.tsv:2: expected file<TAB>text"),
        ("labels.jsonl", '{"file": "a.png"}\n', r"labels\.jsonl:1: expected an object"),
        ("labels.csv", "only one\n", r"labels\.csv:1: expected a file and a text"),
        ("page.xml", "<PcGts", "not a readable XML"),
        ("notes.md", "nothing", "no labelled lines found"),
    ],
)
def test_malformed_data_names_file_and_place(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=says):
        load_samples(tmp_path)


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


# Inspection


@pytest.fixture
def faulty(tmp_path):
    for index in range(30):
        picture(tmp_path / f"{index % 6:03d}_{index:03d}.png", 80 + index)
    picture(tmp_path / "twin1.png", 99, 50)
    picture(tmp_path / "twin2.png", 99, 50)
    picture(tmp_path / "narrow.png", 20)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    rows = [f"{index % 6:03d}_{index:03d}.png\tline {index}" for index in range(30)]
    rows += ["twin1.png\tone", "twin2.png\tother", "narrow.png\tfar too long for it", "broken.png\tx", "000_000.png\t"]
    (tmp_path / "labels.tsv").write_text("\n".join([*rows, "000_006.png\tγ ray"]) + "\n", "utf-8")
    return tmp_path


def test_inspection_finds_what_is_wrong(faulty):
    samples = load_samples(faulty)
    found = inspect(samples, Charset.default(), 32)
    assert len(found.unreadable) == 1 and "broken.png" in found.unreadable[0]
    assert [samples[i].name.rsplit("/")[-1] for i in found.cramped] == ["narrow.png"]
    assert {tuple(samples[i].text for i in group) for group in found.contradictory} >= {("one", "other")}
    assert found.unknown == {"γ": 1}
    assert len(found.empty) == 1
    assert not found.sound
    text = "\n".join(summary(found))
    for words in ("36 lines", "'γ' U+03B3 (1)", "too long for their picture: 1", "unreadable pictures: 1"):
        assert words in text


def test_split_keeps_documents_together_and_is_stable(faulty):
    samples = load_samples(faulty)
    training, held = split(samples)
    assert sorted(training + held) == list(range(len(samples)))
    assert not {samples[i].document for i in training} & {samples[i].document for i in held}
    assert split(samples) == (training, held)
    assert len(held) >= 3


@pytest.mark.parametrize("name", "klmnop")
@pytest.mark.parametrize("sizes, held_out", [((2, 3, 95), 5), ((1, 98, 1), 10), ((45, 45, 10), 10), ((33, 33, 33), 33)])
def test_split_leaves_enough_to_learn_from(name, sizes, held_out):
    """Whatever the documents are called, and however large one of them is."""
    lines = [
        Sample(f"{name}{book}/{line}", "x", f"{name}{book}", Path) for book, n in enumerate(sizes) for line in range(n)
    ]
    training, held = split(lines)
    assert len(held) == held_out and sorted(training + held) == list(range(len(lines)))


def test_samples_can_be_sent_to_other_processes(faulty):
    for sample in load_samples(faulty)[:3]:
        assert pickle.loads(pickle.dumps(sample)).open().shape == sample.open().shape


def test_split_is_the_same_wherever_the_data_lie(tmp_path, monkeypatch):
    for place in ("here", "there/and/deep"):
        picture(tmp_path / place / "lines" / "a.png")
        rows = [f"{book}_{line}.png\tx\n" for book in range(20) for line in range(3)]
        (tmp_path / place / "lines" / "labels.tsv").write_text("".join(rows))
    monkeypatch.chdir(tmp_path / "here")
    assert split(load_samples("lines")) == split(load_samples(tmp_path / "there/and/deep/lines"))


def test_folds_are_about_equal_and_share_no_document(tmp_path):
    picture(tmp_path / "a.png")
    rows = [f"book{book}_{line:03d}.png\tx\n" for book in range(20) for line in range(3 + book)]
    (tmp_path / "labels.tsv").write_text("".join(rows))
    samples = load_samples(tmp_path)
    parts = folds(samples, 5)
    assert sorted(i for part in parts for i in part) == list(range(len(samples))) and len(parts) == 5
    assert max(map(len, parts)) - min(map(len, parts)) <= 10
    documents = [{samples[i].document for i in part} for part in parts]
    assert sum(map(len, documents)) == len(set.union(*documents)) == 20
    assert len(folds(samples[:3], 5)) == 3
    twice = [samples[0], samples[1], samples[0]]
    assert sorted(map(sorted, folds(twice, 5))) == [[0, 2], [1]]


def test_split_of_one_document_divides_its_lines(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("".join(f"book/{i:04d}.png\tx\n" for i in range(50)))
    training, held = split(load_samples(tmp_path))
    assert len(training) == 45 and len(held) == 5


def test_frames_needed_counts_blanks_between_equal_neighbours():
    assert frames_needed("aab", Charset.default()) == 4
    assert frames_needed("값", Charset.default()) == 3
    assert frames_needed("γγ", Charset.default()) == 3


def test_check_command(faulty, tmp_path):
    save(tmp_path / "w.safetensors", tiny_bundle())
    sheet = tmp_path / "sheet.png"
    arguments = ["data", "check", str(faulty), "--model", str(tmp_path / "w.safetensors"), "--sheet", str(sheet)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "suggested split by document" in result.output
    with Image.open(io.BytesIO(sheet.read_bytes())) as image:
        assert image.width == 1600
    assert CliRunner().invoke(main, ["data", "check", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.mdb", b"no database", "not a readable LMDB"),
        ("page.xml", b'<PcGts><Page imageFilename="a.png"><TextLine><Coords points="1,2 3"/><TextEquiv><Unicode>x'
         b"</Unicode></TextEquiv></TextLine></Page></PcGts>", "places of its lines cannot be used"),
        ("page.xml", b'<PcGts><Page imageFilename="a.png"><TextLine><Coords points=""/><TextEquiv><Unicode>x'
         b"</Unicode></TextEquiv></TextLine></Page></PcGts>", "places of its lines cannot be used"),
        ("page.xml", b'<alto><TextLine HPOS=""/></alto>', "places of its lines cannot be used"),
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
    with pytest.raises(DatasetError, match=r"x\.gt\.txt: cannot read labels"):
        load_samples(tmp_path)


def test_labels_end_where_their_lines_end(tmp_path):
    (tmp_path / "labels.tsv").write_bytes("a.png\tone\u2028two\x0cthree\r\n\r\nb.png\tfour\n".encode())
    assert [sample.text for sample in load_samples(tmp_path)] == ["one\u2028two\x0cthree", "four"]
    (tmp_path / "labels.tsv").unlink()
    (tmp_path / "labels.csv").write_bytes(b'file,text\r\na.png,"two\r\nlines"\r\n')
    assert [sample.text for sample in load_samples(tmp_path)] == ["two\r\nlines"]


ALTO = """<alto><Description><MeasurementUnit>{unit}</MeasurementUnit><sourceImageInformation>
<fileName>page.png</fileName></sourceImageInformation></Description><Layout><TextLine HPOS="1" VPOS="2" WIDTH="30"
HEIGHT="10"><String CONTENT="two"/><SP/><String CONTENT="wor"/><HYP{hyphen}/></TextLine></Layout></alto>"""


@pytest.mark.parametrize(("hyphen", "text"), [("", "two wor-"), (' CONTENT="="', "two wor=")])
def test_hyphens_of_alto_belong_to_the_text(tmp_path, hyphen, text):
    Image.new("L", (60, 40), 255).save(tmp_path / "page.png")
    (tmp_path / "page.xml").write_text(ALTO.format(unit="pixel", hyphen=hyphen), "utf-8")
    (sample,) = load_samples(tmp_path / "page.xml")
    assert sample.text == text and sample.open().shape == (11, 31)


def test_places_in_other_units_than_pixels_are_refused(tmp_path):
    (tmp_path / "page.xml").write_text(ALTO.format(unit="mm10", hyphen=""), "utf-8")
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
