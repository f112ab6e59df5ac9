"""Text: characters as tokens, and the vocabulary that a model's file keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ._core import FileError, InvalidValueError

if TYPE_CHECKING:
    from ._parameters import Parameterised

_KEY = "vocabulary"
UNKNOWN = "\ufffd"


class Vocabulary:
    """Characters by number; number 0 stands for every character that is not in it.

    >>> letters = Vocabulary.of("banana")
    >>> letters.encode("nab!").tolist()
    [3, 1, 2, 0]
    >>> letters.decode([2, 1, 3])
    'ban'
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        codes = _codes(characters)
        if not characters or codes.size != np.unique(codes).size:
            raise InvalidValueError("vocabulary: expected one or more characters, each once")
        self._table = np.zeros(int(codes.max()) + 2, np.int64)  # The last entry is for all characters above.
        self._table[codes] = np.arange(1, codes.size + 1)

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The characters of a text, in the order of their code points."""
        return cls("".join(chr(code) for code in np.unique(_codes(text))))

    def __len__(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> NDArray[np.int64]:
        """Characters to tokens."""
        return self._table[np.minimum(_codes(text), len(self._table) - 1)]

    def decode(self, tokens: NDArray[np.int64] | list[int]) -> str:
        """Tokens to characters."""
        characters = UNKNOWN + self.characters
        return "".join(characters[token] for token in tokens)

    def keep(self, model: Parameterised) -> None:
        """Notes the vocabulary in the model, whose file then carries it."""
        model.metadata[_KEY] = self.characters

    @classmethod
    def kept(cls, model: Parameterised, path: str | os.PathLike[str]) -> Vocabulary:
        """The vocabulary that a model read from a file carries."""
        if _KEY not in model.metadata:
            raise FileError(
                f"{path}: expected a model of characters, as 'rnnrs train' writes it, got one without vocabulary"
            )
        return cls(model.metadata[_KEY])


def read(path: str | os.PathLike[str], encoding: str) -> str:
    """A text file, or a FileError that says what is wrong with it."""
    try:
        return Path(path).read_bytes().decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise FileError(f"{path}: expected text in {encoding}: {error}; try --encoding latin-1") from error


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
