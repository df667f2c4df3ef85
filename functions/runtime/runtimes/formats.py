"""The format of a model's file by its first bytes, since KServe calls every XGBoost model `model.bst`."""

from __future__ import annotations

from pathlib import Path

from functions.runtime.errors import InvalidModel

_CARRIAGE_RETURN = b"\r\n"
_LONGEST_START = 64
_SAVE = "save it by Booster.save_model"
_OLD_BINARY = (
    "is in XGBoost's old binary format",
    'load it with XGBoost 3.0 or older (xgb.Booster(model_file=…)) and save it by Booster.save_model("model.ubj")',
)
# Other files that hold models: their first bytes, the description and the remedy.
_OTHERS = (
    (b"binf", *_OLD_BINARY),
    (
        b"\x80",
        "is a pickle, which could run any code",
        f"load it where it was made and {_SAVE} (an estimator has get_booster() or booster_)",
    ),
    (b"PK", "is an archive, such as of a pickle", f"unpack it, and if it holds an estimator {_SAVE}"),
    (b"\x1f\x8b", "is compressed with gzip", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "decompress it"),
    (b"version https://git-lfs", "is a pointer of Git LFS and not the file itself", "run git lfs pull"),
    (b"\xef\xbb\xbf", "begins with a byte order mark, which the libraries do not support", f"{_SAVE} and do not open it in an editor"),
)
# The old binary format begins with parameters of a fixed size; the names of objective and booster follow.
_OLD_PARAMETERS = 400
_OLD_NAMES = (b"gbtree", b"gblinear", b"dart")


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises InvalidModel."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> InvalidModel:
    """The error of a file that cannot be read."""
    return InvalidModel(f"cannot read the model artifact {path}: {error.strerror}", remedy="train the model, or fix artifact.uri")


def damaged(path: Path, reason: str) -> InvalidModel:
    """The error of a file that contradicts itself; `reason` is a clause."""
    return InvalidModel(f"the artifact {path} is damaged: {reason}", remedy="save the model again, or copy it again")


def runtime_of(data: bytes, path: Path) -> str:
    """The built-in runtime for a file. Raises InvalidModel, with a remedy for each other format of models."""
    start = data[:_LONGEST_START]
    if start.lstrip().startswith(b"{"):
        return "xgboost"
    if start.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    description, remedy = _other(data[:_OLD_PARAMETERS])
    raise InvalidModel(f"{path} {description}", remedy=remedy)


def line_feeds(data: bytes) -> bytes:
    """Text with LightGBM's line ends.

    Windows or mail may have added carriage returns, which the sizes in the text do not count.
    """
    return data.replace(_CARRIAGE_RETURN, b"\n") if data.startswith(b"tree\r\n") else data


def _other(start: bytes) -> tuple[str, str]:
    """The description of an unsupported file, and the remedy."""
    for beginning, description, remedy in _OTHERS:
        if start.startswith(beginning):
            return description, remedy
    if b"\0" in start and any(name in start for name in _OLD_NAMES):
        return _OLD_BINARY
    if not start:
        return "is empty", "copy it again"
    return "is neither a card (.yaml) nor a model of XGBoost (JSON, UBJSON) or LightGBM (text)", _SAVE
