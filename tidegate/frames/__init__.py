"""A model as a function of data frames, for engines that divide the rows themselves: Spark, Dask and Ray Data."""

from tidegate.frames.scorer import Scorer, scorer
from tidegate.frames.tables import InvalidFrame

__all__ = ["InvalidFrame", "Scorer", "scorer"]
