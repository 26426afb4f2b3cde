"""A model of your own in one file, without any library: a small sentiment lexicon.

millrace run --model python:examples/sentiment.py:Sentiment --input reviews.jsonl --output out/
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from millrace.predictor import Columns, Predictor

WORDS = {
    "awful": -2.0,
    "bad": -1.0,
    "excellent": 2.0,
    "good": 1.0,
    "great": 1.5,
    "love": 2.0,
    "poor": -1.0,
    "terrible": -2.0,
}


class Sentiment(Predictor):
    """Adds up the words of the column `text`; `threshold` decides when a text takes sides."""

    max_cost = 1_024

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = float(threshold)

    def load(self, device: str) -> None:
        self.words = WORDS

    def predict(self, batch: Columns) -> dict[str, Any]:
        score = np.array([self._score(text) for text in batch["text"]])
        label = np.where(np.abs(score) < self.threshold, "neutral", "positive")
        label = np.where(score <= -self.threshold, "negative", label)
        return {"sentiment": label.tolist(), "score": score}

    def _score(self, text: str) -> float:
        if text is None:
            raise ValueError("there is no text")
        return sum(self.words.get(word, 0.0) for word in re.findall(r"\w+", text.lower()))
