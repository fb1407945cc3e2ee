"""What our numbers say of the paper's claims: paired by image, degradation seed and training seed, corrected for all
claims of a page."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pmrf_blocks.analysis.measurement import SCORES, Reference, Results
from pmrf_blocks.analysis.paired import Comparison, compare, holm, word

RULE = (
    "A claim *shows* where every comparison in it does: paired by image, degradation seed and training seed, the "
    "difference is beyond what other images (bootstrap) and other training seeds (t-test) would give by chance, at the "
    "5 % level after Holm's correction over the claims of this page."
)


@dataclass(frozen=True)
class Claim:
    """What the paper says of the table: for each (part, score, labels), the labels from best to worst. `unstable`
    names a row whose training is said to break down.

    Examples:
        >>> claim = Claim("Ours restores best", orders=(("restoration", "psnr", ("ours", "PMRF", "ResShift")),))
        >>> part, score, labels = claim.orders[0]
        >>> labels[0]  # the best, says the claim
        'ours'
    """

    text: str
    orders: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    unstable: str | None = None


def verdicts(claims: Sequence[Claim], results: Results, reference: Reference) -> list[str]:
    """For each claim a word and the reason for it."""
    compared = [claim_comparisons(claim, results, reference) for claim in claims]
    tested = [number for number, own in enumerate(compared) if own]
    p_values = dict(zip(tested, holm([max(one.p for one in compared[number].values()) for number in tested])))
    return [
        word(own, p_values[number]) if own else without_comparison(claim, results)
        for number, (claim, own) in enumerate(zip(claims, compared))
    ]


def without_comparison(claim: Claim, results: Results) -> str:
    if claim.unstable in results.errors:
        return f"Shows: {results.errors[claim.unstable]}"
    if claim.unstable is not None and results.ran(claim.unstable):
        return "Does not show: its training went through"
    return "Not run"


def claim_comparisons(claim: Claim, results: Results, reference: Reference) -> dict[str, Comparison]:
    """The comparisons that a claim makes, by what is compared; none where one of them cannot be made."""
    found = {}
    for part, score, labels in claim.orders:
        for better, worse in itertools.pairwise(labels):
            pair = [results.measured.get((part, label), {}) for label in (better, worse)]
            seeds = sorted(set(pair[0]) & set(pair[1]))
            if not seeds:
                return {}
            sign = 1.0 if SCORES[score].higher else -1.0
            ends = [torch.stack([reference.scored(own[seed], score) for seed in seeds]) for own in pair]
            gains = sign * (ends[0] - ends[1])
            what = f"{part} {score}, {better} against {worse}"
            found[what] = compare(gains[:, 0], gains[:, 1:], images=len(reference.clean))
    return found
