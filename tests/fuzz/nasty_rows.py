"""Rows of data with values that no template, picture or region expects, in three forms of files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

ROW: dict[str, Any] = {
    "id": "d0", "question": "Which?", "image": "a.png", "answer": 0, "group": "g",
    "choices": ["A", "B"], "points": [[3.0, 4.0], [20.0, 5.0]], "reference": [1.0, 2.0],
}  # fmt: skip
DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]
VALUES: list[Any] = [
    None, True, 0, -1, 7, 2**63, 10**400, 1.5, -0.0, 1e308, float("nan"), float("inf"), "", " ",
    "0", "A", "nan", "{{ 7 * 7 }}", "{% for x in range(10**9) %}x{% endfor %}", "<image>",
    "<image>" * 99, "[/x]", "$a$", "a\nb", "\x1b[2J", "\u202eabc", "a\0b", "\ud800",
    "x" * 100_000, "../../a.png", "/etc/passwd", "http://127.0.0.1:9/a.png",
    "data:image/png;base64,", "data:", "iVBORw0KGgo" * 99, [], [None], ["A"], ["A", "A"],
    ["A"] * 5000, [[1, 2]], [[1, 2], [3]], [[1e308, float("nan")]] * 2, {}, {"a": 1},
    {"bytes": None, "path": None}, {"bytes": "x", "path": "a.png"}, DEEP, "2024-01-05",
    "9999-99-99", "__import__('os')", "%s%n", "a" * 300 + ".png",
]  # fmt: skip
NASTY_TYPES: dict[str, pa.Array] = {
    "far time": pa.array([2**62], pa.timestamp("us")),
    "time zone": pa.array([0], pa.timestamp("ns", tz="Mars/Phobos")),
    "far date": pa.array([10**6], pa.date32()),
    "span": pa.array([2**62], pa.duration("s")),
    "decimal": pa.array([1], pa.decimal256(76, 70)),
    "bytes": pa.array([b"\xff\xfe"]),
    "half text": pa.array([b"\xff\xfe"]).view(pa.string()),
    "words": pa.array(["a"]).dictionary_encode(),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "nothing": pa.nulls(1),
    "struct": pa.array([{"bytes": b"", "path": "/etc/passwd"}]),
    "no bytes": pa.array([{"bytes": None, "path": None}], pa.struct([("bytes", pa.binary()),
                                                                      ("path", pa.string())])),
    "wide": pa.array([[0] * 10_000]),
}  # fmt: skip
FEATURES = ["Image", "Audio", "Video", "Pdf", "Nifti", "Mesh", "Json", "ClassLabel", "Array2D",
            "Translation", "Value", "List", "nosuch", 3, None]  # fmt: skip


def as_json(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode()


def as_csv(row: dict[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row))
    writer.writeheader()
    writer.writerow(row)
    return text.getvalue().encode(errors="surrogatepass")


def as_parquet(row: dict[str, Any], odd: tuple[str, str] | None, feature: Any = None) -> bytes:
    """Return a file of one row; `odd` puts a column of a nasty type in a column's place."""
    columns = {}
    for name, value in row.items():
        try:
            columns[name] = pa.array([value])
            pq.write_table(pa.table({name: columns[name]}), io.BytesIO())  # {} cannot be written
        except (pa.ArrowException, OverflowError, UnicodeError):
            columns[name] = pa.array([repr(value)[:1000].encode(errors="replace").decode()])
    if odd is not None:
        columns[odd[0]] = NASTY_TYPES[odd[1]]
    table = pa.table(columns)
    if feature is not None:
        features = {name: {"dtype": "string", "_type": "Value"} for name in columns}
        features["image"] = {"_type": feature}
        about = json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({b"huggingface": about})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a form and the bytes of a file in it, or nearly in it."""
    row = dict(ROW)
    for _ in range(draw(st.integers(0, 2))):
        row[draw(st.sampled_from([*ROW, "more"]))] = draw(st.sampled_from(VALUES))
    if draw(st.integers(0, 5)) == 0:
        del row[draw(st.sampled_from(list(ROW)))]
    form = draw(st.sampled_from(["json", "csv", "parquet"]))
    if form == "json":
        data = as_json(row)
    elif form == "csv":
        data = as_csv(row)
    else:
        columns = st.tuples(st.sampled_from(list(ROW)), st.sampled_from(sorted(NASTY_TYPES)))
        feature = draw(st.sampled_from(FEATURES)) if draw(st.booleans()) else None
        data = as_parquet(row, draw(columns | st.none()), feature)
    if draw(st.integers(0, 2)) == 0:
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(max_size=8)) + data[place + draw(st.integers(0, 8)) :]
    if draw(st.integers(0, 9)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return form, data
