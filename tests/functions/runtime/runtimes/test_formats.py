from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import pytest

from functions.runtime.errors import InvalidModel
from functions.runtime.runtimes.formats import line_feeds, runtime_of

# LearnerModelParam of XGBoost 1.3: base_score, num_feature, num_class and more, 136 bytes; then names with their
# lengths.
_OLD = struct.pack("<fIi", 0.5, 4, 0).ljust(136, b"\0") + b"".join(
    struct.pack("<Q", len(name)) + name for name in (b"reg:squarederror", b"gbtree")
)


@pytest.mark.parametrize(
    ("data", "runtime"),
    [
        (b'{"learner":{}}', "xgboost"),
        (b'{\n  "learner": {}\n}', "xgboost"),
        (b"{L\0\0\0\0\0\0\0\x07learner{}}", "xgboost"),
        (b"tree\nversion=v4\n", "lightgbm"),
        (b"tree\r\nversion=v4\r\n", "lightgbm"),
    ],
)
def test_a_model_is_recognized_by_its_first_bytes(data: bytes, runtime: str) -> None:
    assert runtime_of(data, Path("model.bst")) == runtime


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"binf" + _OLD, r"old binary format; load it with XGBoost 3\.0 or older .* save it by Booster\.save_model\(\"model\.ubj\"\)\.$"),
        (_OLD, "old binary format; load it with XGBoost"),
        (pickle.dumps({"a": 1}), "is a pickle, which could run any code; load it where it was made and save it by Booster"),
        (gzip.compress(b"{}", mtime=0), "is compressed with gzip; decompress it"),
        (b"PK\x03\x04", "is an archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS and not the file itself; run git lfs pull"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        (b"", "is empty; copy it again"),
        (b"hello", "is neither a card"),
    ],
)
def test_another_file_is_refused_with_a_remedy(data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidModel, match=rf"^model\.bst .*{sentence}"):
        runtime_of(data, Path("model.bst"))


def test_only_text_with_carriage_returns_is_changed() -> None:
    text = b"tree\nversion=v4\nfeature_names=a\r b\n"
    assert line_feeds(text) is text
    assert line_feeds(b"tree\r\nversion=v4\r\n") == b"tree\nversion=v4\n"
