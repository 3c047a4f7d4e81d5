"""Images to rows: order, windows, counts, the report."""

import json
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from ocrformer import transcribe
from ocrformer.report import Report
from ocrformer.sources import Item, find
from ocrformer.summary import Summary
from ocrformer.transcribe import Windows, stamp
from tests.running import transcriber


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


def test_a_page_that_is_no_line_hides_none_after_it(tmp_path):
    pages = [Image.new("L", size, 255) for size in ((60, 20), (6000, 2), (70, 20))]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    with ThreadPoolExecutor(1) as executor:
        ((result,),) = transcriber(executor).run(Windows(find([str(tmp_path)])))
    assert [row.error is None for row in result.rows] == [True, False, True]
    assert [row.file.rsplit("#")[-1] for row in result.rows] == ["1", "2", "3"]
    assert "too wide for one text line" in result.rows[1].error


def test_what_memory_could_not_hold_is_tried_again(tmp_path, monkeypatch):
    Image.new("L", (60, 20), 255).save(tmp_path / "a.png")

    def full(*_):
        raise MemoryError

    monkeypatch.setattr("ocrformer.image.grey_levels", full)
    with ThreadPoolExecutor(1) as executor:
        ((result,),) = transcriber(executor).run(Windows(find([str(tmp_path)])))
    assert "larger than the memory that is left" in result.rows[0].error
    assert not result.reached


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
