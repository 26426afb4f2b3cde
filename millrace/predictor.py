"""What you subclass to run a model of your own: ``--model python:predictor.py:Sentiment``.

A predictor is an ordinary class in an ordinary file:

    import numpy as np
    from millrace.predictor import Predictor

    class Sentiment(Predictor):
        def __init__(self, threshold: float = 0.0) -> None:
            self.threshold = threshold              # --option threshold=0.5

        def load(self, device: str) -> None:        # once per process
            self.words = {"good": 1.0, "bad": -1.0}

        def predict(self, batch):                   # once per batch
            scores = [sum(self.words.get(word, 0.0) for word in text.split())
                      for text in batch["text"]]
            return {"score": np.array(scores)}

Columns come as NumPy arrays with one entry per row: numbers in their own dtype (a missing float is
NaN), lists of one length as (rows, width), everything else, such as text, as an array of Python
objects, with None for a missing value. A column of whole numbers or booleans with a missing value
comes as objects too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, Any]
"""Column name to a NumPy array or a list with one entry per row."""


class Predictor(ABC):
    """A model of your own. Options of the job are passed to the constructor as keywords.

    An exception in `prepare` or `predict` costs only the rows that cause it: the batch is halved
    until they stand alone, and they become error records with the type and text of the exception.
    """

    max_rows: ClassVar[int] = 1_024
    """Most rows in one batch."""
    max_cost: ClassVar[int] = 64
    """First bound of a batch in the unit of `cost`; doubled as long as that makes it faster."""

    def load(self, device: str) -> None:  # noqa: B027 - optional for a model without weights
        """Read weights, once per process; `device` is ``"cpu"`` or ``"cuda:0"``."""

    def prepare(self, batch: Columns) -> Columns:
        """Do what needs no device (decode, tokenise); runs ahead, in a thread beside `predict`.

        What it returns is what `cost` and `predict` get: any columns with one entry per row.
        """
        return batch

    def cost(self, batch: Columns) -> NDArray[np.int64] | None:
        """Cost of each row, shape (rows,): rows of like cost share a batch.

        A batch then costs its rows times the dearest of them, as padding makes it. Without costs,
        each row costs 1.
        """
        return None

    @abstractmethod
    def predict(self, batch: Columns) -> Mapping[str, Any] | NDArray[Any] | list[Any]:
        """Results for each row of `batch`, in the same order.

        A dict gives columns by name; a single array or list becomes the column ``prediction``. An
        array of shape (rows, width) becomes a list of `width` numbers per row. Return the same
        names and dtypes each time: a Parquet output has one type for all rows of a column.
        """
