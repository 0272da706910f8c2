"""Which tokens of a text a masked language model has to guess.

Four of five chosen tokens are hidden, one of ten becomes another token and one of ten stays, so that a model cannot
rely on the mask to know what is asked (Devlin et al. 2019). The choice is drawn anew in every epoch (Liu et al. 2019).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
#: label of a token that is not scored, as torch's cross entropy takes it
IGNORED = -100
#: word number of a special token, which is never masked
SPECIAL = -1
HIDDEN_SHARE, REPLACED_SHARE = 0.8, 0.1
# Spans are cut at so many words, as by Joshi et al. 2020.
LONGEST_SPAN = 10


@dataclass(frozen=True)
class MaskRule:
    """How texts are masked.

    Attributes:
        style: `token`: each by itself; `whole_word`: all tokens of a word together; `span`: neighbouring words, their
            number geometric (Joshi et al. 2020, SpanBERT). Words are the tokenizer's: a BERT tokenizer makes each
            Chinese character a word, so that `whole_word` is `token` there, and `span` is what joins characters.
        share: of the maskable tokens, on average; of a short text at least one token.
        mean_span: words, before lengths are cut at `LONGEST_SPAN`.
        mask_id: the token that hides.
        replacements: ids of all ordinary tokens.
    """

    style: Literal["token", "whole_word", "span"]
    share: float
    mean_span: float
    mask_id: int
    replacements: Integers


def mask(ids: Integers, words: Integers, rule: MaskRule, generator: np.random.Generator) -> tuple[Integers, Integers]:
    """Mask a text.

    Args:
        ids: (tokens,).
        words: (tokens,) number of the word that a token belongs to, `SPECIAL` for special tokens; not all of them are.
        rule: how.
        generator: the choice.

    Returns:
        (tokens,) what the model reads, and (tokens,) what it has to say: the id where it is asked, else `IGNORED`.
    """
    chosen, units = _chosen(words, rule, generator)
    labels = np.full_like(ids, IGNORED)
    labels[chosen] = ids[chosen]
    # Tokens of a span share their fate (Joshi et al. 2020), those of a word do not (Devlin et al. 2019).
    draws = generator.random(len(words))[units]
    hidden = draws < HIDDEN_SHARE
    replaced = ~hidden & (draws < HIDDEN_SHARE + REPLACED_SHARE)
    read = ids.copy()
    read[chosen[hidden]] = rule.mask_id
    read[chosen[replaced]] = generator.choice(rule.replacements, int(replaced.sum()))
    return read, labels


def _chosen(words: Integers, rule: MaskRule, generator: np.random.Generator) -> tuple[Integers, Integers]:
    """Rising positions of the masked tokens, and the unit whose fate each shares."""
    maskable = np.flatnonzero(words != SPECIAL)
    budget = max(1.0, rule.share * len(maskable))
    if rule.style == "token":
        positions = maskable[_random_words(np.ones(len(maskable), dtype=np.int64), budget, generator)]
        return positions, np.arange(len(positions))
    # A word starts where the number changes; special tokens have one of their own and so end words as well.
    starts = maskable[np.r_[True, np.diff(words[maskable]) != 0]]
    sizes = np.diff(np.r_[np.searchsorted(maskable, starts), len(maskable)])
    if rule.style == "whole_word":
        members = _random_words(sizes, budget, generator)
        spans = None
    else:
        members, spans = _random_spans(sizes, budget, rule.mean_span, generator)
    positions = np.concatenate([np.arange(starts[word], starts[word] + sizes[word]) for word in members])
    units = np.arange(len(positions)) if spans is None else np.repeat(spans, sizes[members])
    return positions, units


def _random_words(sizes: Integers, budget: float, generator: np.random.Generator) -> Integers:
    """Rising numbers of random words with `budget` tokens: exactly so on average, unless the first word has more."""
    order = generator.permutation(len(sizes))
    totals = np.cumsum(sizes[order])
    count = int(np.searchsorted(totals, budget, side="right"))
    if count < len(order):
        left = budget - (totals[count - 1] if count else 0)
        count += generator.random() < left / sizes[order[count]]
    return np.sort(order[: max(count, 1)])


def _random_spans(
    sizes: Integers, budget: float, mean_span: float, generator: np.random.Generator
) -> tuple[Integers, Integers]:
    """Rising numbers of the words of random spans, and the span of each; the last span is cut at the budget."""
    span_of = np.full(len(sizes), -1)
    filled, span = 0, 0
    while filled < budget and (span_of < 0).any():
        free = np.flatnonzero(span_of < 0)
        start = int(generator.choice(free))
        length = min(int(generator.geometric(1 / mean_span)), LONGEST_SPAN)
        for word in range(start, min(start + length, len(sizes))):
            if span_of[word] >= 0:
                break
            fits = generator.random() < (budget - filled) / sizes[word]
            if not fits and filled:
                return _members(span_of)
            span_of[word] = span
            filled += int(sizes[word])
            if filled >= budget:
                break
        span += 1
    return _members(span_of)


def _members(span_of: Integers) -> tuple[Integers, Integers]:
    members = np.flatnonzero(span_of >= 0)
    return members, span_of[members]
