"""What a model's file is, by its first bytes: its name says little, since KServe calls every XGBoost model `model.bst`."""

from __future__ import annotations

from pathlib import Path

from functions.runtime.errors import InvalidModel

_CARRIAGE_RETURN = b"\r\n"
_LONGEST_START = 64
_CONVERT = 'load it with XGBoost 3.0 or older (xgb.Booster(model_file=…)) and save it by Booster.save_model("model.ubj")'
_SAVE = "save it by Booster.save_model"
# Other files that hold models, by how they begin, and what to do with one.
_OTHERS = (
    (b"binf", f"is in XGBoost's old binary format; {_CONVERT}"),
    (b"\x80", f"is a pickle, which could run anything; load it where it was made and {_SAVE} (an estimator has get_booster() or booster_)"),
    (b"PK", f"is an archive, such as of a pickle; unpack it, and if it holds an estimator {_SAVE}"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it"),
    (b"version https://git-lfs", "is a pointer of Git LFS and not the file itself; run git lfs pull"),
    (b"\xef\xbb\xbf", f"begins with a byte order mark, which the libraries do not know; {_SAVE} and do not open it in an editor"),
)
# The old binary format begins with parameters of a fixed size, and then names the objective and the booster.
_OLD_PARAMETERS = 400
_OLD_NAMES = (b"gbtree", b"gblinear", b"dart")


def read_bytes(path: Path) -> bytes:
    """Raises InvalidModel."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> InvalidModel:
    return InvalidModel(f"cannot read the model artifact {path}: {error.strerror}; train the model, or mend artifact.uri.")


def damaged(path: Path, reason: str) -> InvalidModel:
    return InvalidModel(f"the artifact {path} is damaged: {reason}; save the model again, or copy it again.")


def runtime_of(data: bytes, path: Path) -> str:
    """The runtime of ours that reads it. Raises InvalidModel, with what to do about other files that hold models."""
    start = data[:_LONGEST_START]
    if start.lstrip().startswith(b"{"):
        return "xgboost"
    if start.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    raise InvalidModel(f"{path} {_other(data[:_OLD_PARAMETERS])}.")


def line_feeds(data: bytes) -> bytes:
    """Text as LightGBM writes it: what came through Windows or a mail may have carriage returns, which its sizes do not count."""
    return data.replace(_CARRIAGE_RETURN, b"\n") if data.startswith(b"tree\r\n") else data


def _other(start: bytes) -> str:
    for beginning, told in _OTHERS:
        if start.startswith(beginning):
            return told
    if b"\0" in start and any(name in start for name in _OLD_NAMES):
        return f"is in XGBoost's old binary format; {_CONVERT}"
    if not start:
        return "is empty; copy it again"
    return f"is neither a card (.yaml) nor a model of XGBoost (JSON, UBJSON) or LightGBM (text); {_SAVE}"
