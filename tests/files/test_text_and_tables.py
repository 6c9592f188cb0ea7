"""One decoder for every text file, one reader for every table, one for every list of words."""

import csv
import io
import json
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynrefer.errors import InputError
from dynrefer.files.tables import ALIASES, WORD_SEPARATORS, parse_table, read_words, split_words
from dynrefer.files.text import decode_text, read_json, read_jsonl, read_text

MARKED = ("utf-8-sig", "utf-16", "utf-32")
MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-32-le": b"\xff\xfe\0\0", "utf-32-be": b"\0\0\xfe\xff"}
letters = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co", "Zl", "Zp", "Zs", "Cf"))
word = st.text(letters, min_size=1, max_size=12).filter(lambda text: not WORD_SEPARATORS.search(text))
names = word.filter(lambda text: text[0] not in "\"'[{#" and text[-1] not in "\"'")
numbers = st.integers(0, 9999).map(str)
line_ends = st.sampled_from(["\n", "\r\n", "\r"])
separators = st.sampled_from([",", ";", "\t", "|"])


def encoded(text: str, encoding: str) -> bytes:
    return MARKS.get(encoding, b"") + text.encode(encoding)


@given(st.lists(word).map("\n".join), st.sampled_from([*MARKED, *MARKS, "utf-8"]))
def test_text_of_any_script_is_read_letter_by_letter_in_every_encoding(text: str, encoding: str) -> None:
    assert decode_text(encoded(text, encoding), "file") == text


@given(
    st.lists(st.tuples(word, numbers, numbers), min_size=1, max_size=5),
    st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]),
)
def test_a_table_without_a_byte_order_mark_is_read(rows: list[tuple[str, str, str]], encoding: str) -> None:
    text = "image,x1,y1\n" + "".join(f"{','.join(row)}\n" for row in rows)
    assert decode_text(text.encode(encoding), "file") == text


@given(
    rows=st.lists(st.tuples(names, numbers, numbers, numbers, numbers), min_size=1, max_size=5),
    separator=separators,
    end=line_ends,
    encoding=st.sampled_from([*MARKED, *MARKS, "utf-8"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    trailing=st.booleans(),
    chance=st.randoms(use_true_random=False),
)
def test_a_table_is_read_whatever_its_encoding_separator_columns_and_line_ends(
    rows: list[tuple[str, ...]],
    separator: str,
    end: str,
    encoding: str,
    quoting: int,
    trailing: bool,
    chance: random.Random,
) -> None:
    columns = ["image", "x1", "y1", "x2", "y2"]
    order = chance.sample(range(5), 5)
    spelt = [
        chance.choice([str.upper, str.title, lambda t: t.replace("_", " ")])(chance.choice(ALIASES[c])) for c in columns
    ]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    for row in [spelt, *rows, [""] * 5 if trailing else rows[0]]:
        writer.writerow([row[place] for place in order] + [""] * trailing)
    read = parse_table(decode_text(encoded(text.getvalue(), encoding), "file"), columns)
    assert [[row[c] for c in columns] for row in read] == [
        list(row) for row in (*rows, *([] if trailing else rows[:1]))
    ]


@given(
    st.lists(names, min_size=1, max_size=6, unique_by=lambda name: unicodedata.normalize("NFC", name)),
    st.lists(st.sampled_from(",;\n|\t，、；،؛፣｜"), min_size=6, max_size=6),
    st.sampled_from(["", " ", "  "]),
)
def test_words_are_parted_by_the_separators_of_every_script(words: list[str], between: list[str], blank: str) -> None:
    text = "".join(name + blank + separator + blank for name, separator in zip(words, between, strict=False))
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbfcat\ndog\nhorse\n", ["cat", "dog", "horse"]),
        ("cat\ndog\nhorse\n".encode("utf-16"), ["cat", "dog", "horse"]),
        (b"cat, dog, horse\n", ["cat", "dog", "horse"]),
        ("猫、犬，馬；牛".encode(), ["猫", "犬", "馬", "牛"]),
        ("قطة، كلب؛ حصان".encode(), ["قطة", "كلب", "حصان"]),
        (b"dog\n dog \ncat\ndining  table\n\n", ["dog", "cat", "dining table"]),
        (b'["hot dog", "cat"]', ["hot dog", "cat"]),
        (b"# my classes\ncat\n", ["cat"]),
        (b'"cat"\r\n"dog"\r\n', ["cat", "dog"]),
    ],
    ids=range(9),
)
def test_a_file_of_words_is_read(tmp_path: Path, content: bytes, words: list[str]) -> None:
    (tmp_path / "classes.txt").write_bytes(content)
    assert read_words(str(tmp_path / "classes.txt")) == words


def test_words_that_are_no_path_are_the_words() -> None:
    assert read_words("dog, cat") == ["dog", "cat"]
    assert read_words("dog," * 5000) == ["dog"]


@pytest.mark.parametrize(
    "source", ["no_such_classes.txt", "./no_such", "/far/no_such", "C:\\far\\no_such", Path("no_such")]
)
def test_a_path_without_a_file_is_no_word(source: str | Path) -> None:
    with pytest.raises(InputError, match="no file no_such"):
        read_words(source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("caf\xe9\n".encode("latin-1"), "notes.txt is not a text file in UTF-8 or UTF-16 .line 1, byte 4"),
        (b"one\ntwo\nr\xe9sum\xe9", "line 3"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01", "notes.txt is not a text file"),
        (b"\0\0\0\0", "zero bytes"),
    ],
    ids=["latin-1", "line", "photograph", "zeros"],
)
def test_what_is_no_text_is_refused_with_its_place(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_text(tmp_path / "notes.txt")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [("none.txt", "no file none.txt"), ("", "is a folder"), ("a\0b", "cannot")])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_text(tmp_path / name)


@pytest.mark.parametrize(
    ("cell", "separator", "value"),
    [
        ("104.5", ",", 104.5),
        ("104,5", ";", 104.5),
        ('"104,5"', ",", 104.5),
        ("104,125", ";", 104.125),
        (" 12 ", "\t", 12),
        ("\N{MINUS SIGN}5", ",", -5),
        ("1e2", ",", 100),
        ("１０", ",", 10),
    ],
)
def test_a_number_is_read_as_its_writer_meant_it(cell: str, separator: str, value: float) -> None:
    (row,) = parse_table(f"x1{separator}y1\n{cell}{separator}2\n")
    assert row.number("x1") == value


@pytest.mark.parametrize("cell", ['"1,024"', "left", "", "nan", "inf", "1_000", "50%", '"1,2,3"', "0x10"])
def test_a_cell_that_is_no_certain_number_is_refused_with_its_line(cell: str) -> None:
    (row,) = parse_table(f"x1,y1\n\n{cell},2\n")
    with pytest.raises(InputError, match=r"Line 3 has .* in the column x1"):
        row.number("x1")


def test_of_two_columns_of_one_meaning_the_likelier_has_it() -> None:
    (row,) = parse_table("image_id,file_name,x1\n7,cat.jpg,1\n")
    assert (row["image"], row["image_id"], row["x1"]) == ("cat.jpg", "7", "1")


def test_a_needed_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"image is not among slide, x1"):
        parse_table("slide,x1\na,1\n", ["image", "x1"])


def test_a_row_with_more_cells_than_columns_is_not_shifted() -> None:
    text = "image,x1,y1\ncat.jpg,104,5,0,0\ncat.jpg,1,2\n"
    with pytest.raises(InputError, match="Line 2 has 5 cells where the first line names 3"):
        parse_table(text)
    told: list[str] = []
    assert [row["x1"] for row in parse_table(text, on_bad=told.append)] == ["1"]
    assert len(told) == 1


@pytest.mark.parametrize("text", ["\nsep=;\nimage;x1\ncat.jpg;1,5\n", "\n\nimage;x1\ncat.jpg;1,5\n;;\n"])
def test_what_spreadsheets_put_around_a_table_is_passed_over(text: str) -> None:
    (row,) = parse_table(text)
    assert (row["image"], row.number("x1"), row.line) == ("cat.jpg", 1.5, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ('x1,y1\n"1,2\n3', "Line 2 .*can be read"), ("x1\n" + "1" * 200_000, "Line 2 .*can be read")],
    ids=["empty", "open quote", "huge cell"],
)
def test_what_is_no_table_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_table(text)


@given(st.recursive(st.none() | st.booleans() | word, lambda inner: st.lists(inner) | st.dictionaries(word, inner)))
def test_json_is_read_in_every_encoding(content: object) -> None:
    for encoding in (*MARKED, "utf-8", "utf-16-le"):
        data = json.dumps([content, "x"], ensure_ascii=False).encode(encoding)
        assert json.loads(decode_text(data, "file")) == [content, "x"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "data.json is not JSON .it is empty"),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ("[" * 100_000, "not JSON"),
        ('{"images": []}', 'data.json has no "annotations"'),
        ("[]", 'has no "images"'),
    ],
    ids=range(5),
)
def test_json_that_is_none_is_refused_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(InputError, match=words):
        read_json(tmp_path / "data.json", "images", "annotations")


def test_a_bad_line_of_json_lines_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"a": 1}\n\n{"b": 2}\nnot\n[1]\n{"a": "\u2028"}\n', encoding="utf-8-sig")
    told: list[str] = []
    read = list(read_jsonl(tmp_path / "data.jsonl", "a", on_bad=told.append))
    assert read == [(1, {"a": 1}), (6, {"a": "\u2028"})]
    assert [sentence[:24] for sentence in told] == [
        "Line 3 of data.jsonl has",
        "Line 4 of data.jsonl is ",
        "Line 5 of data.jsonl is ",
    ]
    with pytest.raises(InputError, match=r'Line 3 of data.jsonl has no "a"'):
        list(read_jsonl(tmp_path / "data.jsonl", "a"))


def test_a_row_with_wrong_quotes_costs_itself_alone() -> None:
    text = 'image,caption\ncat.jpg,"a "big" cat"\ndog.jpg,"two\nlines"\ncow.jpg,"open\npig.jpg,a pig\n'
    told: list[str] = []
    rows = parse_table(text, on_bad=told.append)
    assert [(row["image"], row["caption"], row.line) for row in rows] == [
        ("dog.jpg", "two\nlines", 4),
        ("pig.jpg", "a pig", 6),
    ]
    assert [words.partition(" has")[0] for words in told] == ["line 2", "line 5"]


def test_an_entry_that_would_hide_another_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text('{"cat.jpg": [1],\n "cat.jpg": [2]}')
    with pytest.raises(InputError, match=r'boxes.json .*"cat.jpg" stands twice in one object'):
        read_json(tmp_path / "boxes.json")
    (tmp_path / "boxes.json").write_text('{"cat.jpg": [1],\n "cat.jpg": [1]}')
    assert read_json(tmp_path / "boxes.json") == {"cat.jpg": [1]}


@pytest.mark.parametrize(("start", "words"), [(b"PK\x03\x04", "is a workbook"), (b"\x1f\x8b", "is compressed")])
def test_what_holds_text_but_is_none_says_what_it_is(tmp_path: Path, start: bytes, words: str) -> None:
    (tmp_path / "boxes.csv").write_bytes(start + bytes(range(40)))
    with pytest.raises(InputError, match=f"boxes.csv {words}"):
        read_text(tmp_path / "boxes.csv")


@pytest.mark.parametrize(
    "text",
    [
        '{"0": "cat", "1": "dog"}',
        '{"cat": 0, "dog": 1}',
        '{"names": ["cat", "dog"]}',
        '{"names": {"0": "cat", "1": "dog"}}',
        '{"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}',
        '[{"name": "cat"}, {"name": "dog"}]',
        "[cat, dog]",
        "id,name\n1,cat\n2,dog\n",
        "label;index\ncat;0\ndog;1\n",
        "supercategory\tname\nanimal\tcat\nanimal\tdog",
        "0: cat\n1: dog\n",
        "1. cat\n2. dog\n",
    ],
    ids=range(12),
)
def test_names_are_read_from_what_lists_them(text: str) -> None:
    assert split_words(text) == ["cat", "dog"]


@pytest.mark.parametrize(
    "text", ['{"images": [], "annotations": []}', '{"categories": [{"id": 1}]}', '["cat", 1]', '{"a']
)
def test_json_that_lists_no_names_is_no_list_of_words(text: str) -> None:
    with pytest.raises(InputError, match="list of words"):
        split_words(text)
