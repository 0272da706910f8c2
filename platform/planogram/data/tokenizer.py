"""Text pairs into token ids, with one truncation rule for training and serving."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from planogram.config import TokenizerKind
from planogram.errors import IntegrityError

TOKENIZER_FILE = "tokenizer.json"
UNKNOWN = "[UNK]"
SPECIAL_TOKENS = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
# The longer of the two texts is cut first, at its end: a query keeps all its words beside a long description.
TRUNCATION = "longest_first"


@dataclass(frozen=True)
class Tokens:
    """Token ids of a list of pairs, not padded.

    Attributes:
        input_ids: one list per pair, at most `max_tokens` long.
        token_type_ids: 0 for the first text, 1 for the second; the same lengths.
        truncated: whether a pair was cut.
        features: (pairs, columns) float32 that the model takes beside the text; None: it takes none.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]]
    truncated: list[bool]
    features: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens per pair."""
        return [len(ids) for ids in self.input_ids]

    def take(self, indices: Iterable[int]) -> "Tokens":
        """The pairs at these positions, in this order."""
        chosen = list(indices)
        return Tokens(
            [self.input_ids[i] for i in chosen],
            [self.token_type_ids[i] for i in chosen],
            [self.truncated[i] for i in chosen],
            None if self.features is None else self.features[chosen],
        )

    @staticmethod
    def concatenate(parts: "Sequence[Tokens]") -> "Tokens":
        """The pairs of all parts, in order; all with features of the same columns, or all without."""
        features = [part.features for part in parts if part.features is not None]
        return Tokens(
            [ids for part in parts for ids in part.input_ids],
            [types for part in parts for types in part.token_type_ids],
            [cut for part in parts for cut in part.truncated],
            np.concatenate(features) if features else None,
        )


class PairTokenizer:
    """Encodes pairs of texts.

    Args:
        tokenizer: a fast tokenizer with a pair template.
        max_tokens: of both texts together, special tokens included.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        #: as it came, without truncation to `max_tokens`
        self.whole = tokenizer
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens, strategy=TRUNCATION)
        self.max_tokens = max_tokens

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int) -> "PairTokenizer":
        """Load `tokenizer.json`.

        Raises:
            IntegrityError: it is missing or not a tokenizer.
        """
        return cls(load_tokenizer(folder), max_tokens)

    # Kept, for the vocabulary is a copy that takes longer to make than a request should.
    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Tokens that are no text."""
        return frozenset(self.tokenizer.get_added_tokens_decoder())

    @cached_property
    def number_ids(self) -> frozenset[int]:
        """Tokens with a digit."""
        vocabulary = self.tokenizer.get_vocab()
        return frozenset(i for token, i in vocabulary.items() if any(c.isdigit() for c in token))

    def encode(self, pairs: Sequence[tuple[str, str]]) -> Tokens:
        """Encode pairs, or single texts where the second one is empty; what is cut is said in `Tokens.truncated`."""
        encodings = self.tokenizer.encode_batch_fast([pair if pair[1] else pair[0] for pair in pairs])
        return Tokens(
            [encoding.ids for encoding in encodings],
            [encoding.type_ids for encoding in encodings],
            [bool(encoding.overflowing) for encoding in encodings],
        )


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load `tokenizer.json` of a folder.

    Raises:
        IntegrityError: it is missing or not a tokenizer.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise IntegrityError(f"{path} is missing", remedy="choose a backbone with a fast tokenizer (tokenizer.json)")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception for every damaged file
        raise IntegrityError(f"{path} is not a tokenizer: {error}", remedy="restore the file") from error


def train_tokenizer(texts: Iterable[str], vocab_size: int, kind: TokenizerKind = "wordpiece") -> Tokenizer:
    """Train an uncased tokenizer with BERT's pair template; the same texts give the same tokenizer.

    Args:
        texts: the corpus.
        vocab_size: largest number of tokens, special tokens included.
        kind: `wordpiece` splits words at spaces and takes every Chinese character for one; `bpe` merges whatever
            stands together often between spaces and punctuation, so that a frequent Chinese word is one token.

    Source: Devlin et al. 2019 (BERT); Wu et al. 2016 (WordPiece); Sennrich et al. 2016 (byte pair encoding).
    """
    tokenizer = _train_bpe(texts, vocab_size) if kind == "bpe" else _train_wordpiece(list(texts), vocab_size)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return tokenizer


def _train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    learner = Tokenizer(models.BPE(unk_token=UNKNOWN))
    learner.normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=False)
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), show_progress=False, min_frequency=2
    )
    learner.train_from_iterator(texts, trainer)
    return learner


def _train_wordpiece(corpus: Sequence[str], vocab_size: int) -> Tokenizer:
    learner = _uncased(models.WordPiece(unk_token=UNKNOWN))
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *_continuations(corpus)],
        show_progress=False,
        min_frequency=2,
    )
    learner.train_from_iterator(corpus, trainer)
    return _uncased(models.WordPiece(learner.get_vocab(), unk_token=UNKNOWN))


def _uncased(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _continuations(corpus: Sequence[str]) -> list[str]:
    """The tokens `##c` of single characters that continue a word, sorted.

    The trainer numbers them in the random order of a hash map and breaks ties between merges by number; given to it
    first, as if they were special, their numbers are fixed.
    """
    text = normalizers.BertNormalizer(lowercase=True).normalize_str(" ".join(corpus))
    words = {word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)}
    return [f"##{character}" for character in sorted({character for word in words for character in word[1:]})]
