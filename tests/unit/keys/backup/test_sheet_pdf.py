"""The page as PDF, read and rendered by another program than the one that wrote it."""

import re
import shutil
import subprocess
from datetime import date

import pypdfium2
import pytest
import segno

from kontinuum.keys.backup.roots import public_of
from kontinuum.keys.backup.sheet import HEIGHT_MM, SHEET_WORDS_MAX, WIDTH_MM, Code, Sheet
from kontinuum.keys.backup.sheet_pdf import pdf_page
from kontinuum.keys.backup.sheet_svg import svg_page
from kontinuum.keys.backup.words import phrase_of
from kontinuum.keys.derivation import RootSeed

ROOT = RootSeed(bytes(range(32)))
SHEET = Sheet(
    "Share 2 of (3), \\ <&>",
    tuple(phrase_of(ROOT).split()),
    bytes(public_of(ROOT)),
    date(2026, 1, 2),
    ("dry",),
)
PIXELS_PER_MM = 8


@pytest.fixture(scope="module")
def page():
    """The only page of the file."""
    document = pypdfium2.PdfDocument(pdf_page(SHEET))
    assert len(document) == 1
    page = document[0]
    yield page
    page.close()
    document.close()


@pytest.fixture(scope="module")
def image(page):
    """The page in grey: width, height, a byte for each pixel."""
    bitmap = page.render(scale=PIXELS_PER_MM * 25.4 / 72, grayscale=True)
    return bitmap.width, bitmap.height, bytes(bitmap.buffer), bitmap.stride


def test_its_text_holds_every_word(page):
    """
    The words in order with their numbers, which root it is, and when it was printed.
    """
    text = page.get_textpage().get_text_range()

    lines = [line.split() for line in text.splitlines()]
    assert "Share 2 of (3), \\ <&>" in text
    assert f"{public_of(ROOT).hex()[:4]} {public_of(ROOT).hex()[4:8]}" in text
    assert "printed 2026-01-02" in text
    assert "…" in text
    assert "dry" in text
    words = {line[0]: line[1] for line in lines if len(line) == 2 and line[0].isdigit()}
    assert words == {str(number): word for number, word in enumerate(SHEET.words, start=1)}


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_another_reader_finds_the_words():
    """
    Poppler reads the same.
    """
    text = subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=pdf_page(SHEET), capture_output=True, check=True
    ).stdout.decode()

    rows = re.findall(r"\b(\d+) +([a-z]+)\b", text)
    found = {int(number): word for number, word in rows if word in SHEET.words}
    assert [found[number] for number in range(1, 25)] == list(SHEET.words)


def test_the_code_is_that_of_the_words(image):
    """
    Every module of the rendered code is as dark as it should be, and the border around it white.
    """
    width, _, pixels, stride = image
    assert width == pytest.approx(WIDTH_MM * PIXELS_PER_MM, abs=2)
    code = next(part for part in SHEET.parts() if isinstance(part, Code))
    expected = segno.make_qr(" ".join(SHEET.words), error="m").matrix

    def is_dark(row, column):
        x = (code.x + (column + 0.5) * code.step) * PIXELS_PER_MM
        y = (code.y + (row + 0.5) * code.step) * PIXELS_PER_MM
        return pixels[int(y) * stride + int(x)] < 128

    size = len(expected)
    for row in range(-4, size + 4):
        for column in range(-4, size + 4):
            inside = 0 <= row < size and 0 <= column < size
            assert is_dark(row, column) == (inside and bool(expected[row][column])), (row, column)


@pytest.mark.skipif(shutil.which("zbarimg") is None, reason="zbarimg is not installed")
def test_a_scanner_reads_the_code(image, tmp_path):
    """
    A program that reads codes from photographs gives the words back.
    """
    width, height, pixels, stride = image
    rows = b"".join(pixels[row * stride : row * stride + width] for row in range(height))
    picture = tmp_path / "page.pgm"
    picture.write_bytes(b"P5 %d %d 255\n" % (width, height) + rows)
    read = subprocess.run(
        ["zbarimg", "--quiet", "--raw", "--nodbus", picture], capture_output=True, check=True, text=True
    )

    assert read.stdout.split() == list(SHEET.words)


def test_the_longest_page_stays_on_the_paper():
    """
    36 words of eight letters, and nothing is drawn outside of A4.
    """
    sheet = Sheet("T" * 64, ("w" * 8,) * SHEET_WORDS_MAX, bytes(32), date(2026, 1, 2))
    document = pypdfium2.PdfDocument(pdf_page(sheet))
    page = document[0]
    assert page.get_size() == pytest.approx((WIDTH_MM * 72 / 25.4, HEIGHT_MM * 72 / 25.4), abs=0.01)
    textpage = page.get_textpage()
    assert textpage.get_text_range().count("w" * 8) == SHEET_WORDS_MAX
    for index in range(textpage.count_rects()):
        left, bottom, right, top = textpage.get_rect(index)
        if top < 780:  # The title is as long as its author made it.
            assert 0 < left < right < WIDTH_MM * 72 / 25.4
            assert 0 < bottom < top
    page.close()
    document.close()


def test_the_file_says_nothing_beside_the_page():
    """
    No metadata, no id, no link, no script, no other file; the same page gives the same bytes.
    """
    data = pdf_page(SHEET)

    assert not re.search(rb"/(Info|ID|Metadata|Producer|Creator|Author|URI|JavaScript|EmbeddedFile)\b", data)
    assert b"/Filter" not in data
    assert data.count(b"stream\n") == 2  # One, begun and ended.
    assert pdf_page(SHEET) == data
    assert svg_page(SHEET).count("<text") == data.count(b" Tj")


def test_a_title_of_other_letters_is_no_error():
    """
    What the fonts do not have is a question mark; the words are there.
    """
    document = pypdfium2.PdfDocument(pdf_page(Sheet("Ω → é", ("zoo",), bytes(32), date(2026, 1, 2))))
    page = document[0]
    text = page.get_textpage().get_text_range()
    assert "? ? é" in text
    assert "zoo" in text
    page.close()
    document.close()
