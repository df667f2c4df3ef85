"""Where batches read and write: files, object stores and web servers, in several formats, in bounded memory."""

from functions.batch.storage.distinct import check_distinct
from functions.batch.storage.formats import format_of
from functions.batch.storage.pieces import Piece, Reject, SourceFile
from functions.batch.storage.policy import EVERYTHING, Policy
from functions.batch.storage.sinks import Sink
from functions.batch.storage.source import Listing, Source, find_source, open_source
from functions.batch.storage.stores import digest_of
from functions.batch.storage.target import Target, open_target

__all__ = [
    "EVERYTHING",
    "Listing",
    "Piece",
    "Policy",
    "Reject",
    "Sink",
    "Source",
    "SourceFile",
    "Target",
    "check_distinct",
    "digest_of",
    "find_source",
    "format_of",
    "open_source",
    "open_target",
]
