"""CSV tables in the forms that spreadsheets and people write."""

import codecs

import pytest

from mmdg_lite.data.real.csv_table import read_csv_table
from mmdg_lite.data.real.lists import ListError

LINES = ("id,rgb,note", "a,one.png,x", "b,two.png,")
ROWS = [{"id": "a", "rgb": "one.png", "note": "x"}, {"id": "b", "rgb": "two.png", "note": ""}]


def rows(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_csv_table(path).records())


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "encode",
    [
        str.encode,
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16 little", "utf-16 big"],
)
def test_line_ends_delimiters_and_encodings(tmp_path, ends, delimiter, encode):
    content = encode(ends.join(LINES).replace(",", delimiter))
    assert rows(tmp_path / "t.csv", content) == [(2, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize(
    "text, lines",
    [
        ("\n \n" + "\n".join(LINES), (4, 5)),  # blank lines first
        ("sep=,\r\n" + "\r\n".join(LINES), (3, 4)),
        ("\n".join([LINES[0], "", LINES[1], ",,", LINES[2], "", ""]), (3, 5)),
        (" ID , Rgb,NOTE\n a ,one.png , x\nb, two.png,\n", (2, 3)),
        ("\n".join(line + "," for line in LINES), (2, 3)),  # a delimiter behind the last column
        ('"id","rgb","note"\n"a","one.png","x"\nb,two.png,""', (2, 3)),
    ],
)
def test_blank_lines_spaces_quotes_and_capitals(tmp_path, text, lines):
    assert rows(tmp_path / "t.csv", text) == list(zip(lines, ROWS, strict=True))


@pytest.mark.parametrize(
    "content, message",
    [
        ("id,rgb\na\n", "line 2: expected 2 fields, found 1"),
        ("\nid,rgb\n\na,b,c\n", "line 4: expected 2 fields, found 3"),
        ('id,rgb\na,"b\n', "line 2: not CSV .*quotation mark"),
        ("rgb,id,RGB\n", "line 1: two columns are called 'rgb'"),
        (b"id,rgb\na,\xfc.png\n", "line 2: not text in UTF-8: save the table as CSV in UTF-8"),
        ("id,rgb\na,b\n".encode("utf-16-le"), "line 1: a NUL character"),
        (b"PK\3\4" + bytes(60), "line 1: a workbook"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    with pytest.raises(ListError, match=rf"t\.csv, {message}"):
        rows(tmp_path / "t.csv", content)
