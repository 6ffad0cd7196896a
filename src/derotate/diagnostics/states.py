# SPDX-License-Identifier: MIT
"""Distances of two checkpoints in hidden states and in next-token distributions.

Metrics of model_dynamics_plot.py, released with arXiv 2509.12235. Rows are prompts, the same on
both sides and in the same order. Distributions are log-probabilities (or logits) of one position
each: logits averaged over positions first, as published, are no next-token distribution (a fault of
the code released with arXiv 2509.12235).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.special import log_softmax, rel_entr

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class States:
    """A checkpoint's states at the last positions of each prompt, oldest position first.

    Attributes:
        hidden: last layer after the final norm, [prompts, positions, width].
        log_probs: log-probabilities of the next token, [prompts, positions, vocabulary].
    """

    hidden: NDArray[np.floating]
    log_probs: NDArray[np.floating]


def cosine(a: ArrayLike, b: ArrayLike) -> Floats:
    """Cosine of vectors [..., width] -> [...]; NaN where one is zero.

    Near 0 for unrelated directions. States with a large common mean are near 1 for any pair.
    """
    x, y = _floats(a), _floats(b)
    products: Floats = (x * y).sum(-1)
    with np.errstate(invalid="ignore"):
        return products / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))


def jensen_shannon(
    log_probs_a: ArrayLike, log_probs_b: ArrayLike, temperature: float = 1.0
) -> Floats:
    """Jensen-Shannon divergence in nats, 0 to ln 2, of distributions [..., vocabulary] -> [...].

    Mean Kullback-Leibler divergence to the even mixture (Lin 1991). Log-probabilities are divided
    by the temperature and normalised again.
    """
    p, q = (np.exp(_log_probs(x, temperature)) for x in (log_probs_a, log_probs_b))
    mixture = (p + q) / 2
    # Rounding gives about -1e-17 for almost equal distributions.
    divergence: Floats = (rel_entr(p, mixture) + rel_entr(q, mixture)).sum(-1).clip(min=0) / 2
    return divergence


def hellinger(log_probs_a: ArrayLike, log_probs_b: ArrayLike) -> Floats:
    """Hellinger distance, 0 to 1, of distributions [..., vocabulary] -> [...].

    ||sqrt p - sqrt q|| / sqrt 2; the equal sqrt(1 - sum sqrt(p q)) cancels for similar p and q.
    """
    # exp(log p / 2) is sqrt p without underflow of p.
    p, q = (np.exp(_log_probs(x) / 2) for x in (log_probs_a, log_probs_b))
    distance: Floats = np.linalg.norm(p - q, axis=-1) / np.sqrt(2)
    return distance


def top_k_overlap(log_probs_a: ArrayLike, log_probs_b: ArrayLike, k: int) -> Floats:
    """Jaccard index of the k most likely tokens, 0 to 1, [..., vocabulary] -> [...].

    Ties are broken by the lower token id. Unrelated rankings of V tokens share about k^2 / V
    tokens, so their index is near k / (2 V - k).

    Raises:
        ValueError: k is below 1 or above the vocabulary.
    """
    a, b = _floats(log_probs_a), _floats(log_probs_b)
    if not 1 <= k <= a.shape[-1]:
        raise ValueError(f"top_k_overlap: k = {k}, expected 1 to {a.shape[-1]}, the vocabulary")
    # Stable, so that equal probabilities give the same tokens on both sides.
    first, second = (np.argsort(-x, axis=-1, kind="stable")[..., :k] for x in (a, b))
    shared = (first[..., :, None] == second[..., None, :]).sum((-2, -1))
    index: Floats = shared / (2 * k - shared)
    return index


def linear_cka(a: ArrayLike, b: ArrayLike) -> float:
    """Linear centred kernel alignment of states [prompts, width] (Kornblith et al. 2019), 0 to 1.

    ||A^T B||_F^2 / (||A^T A||_F ||B^T B||_F) of centred columns; invariant to rotation and scale.
    Few prompts bias it upwards: unrelated gaussian states of n prompts and widths c and d are near
    sqrt(c d / ((n + c) (n + d))), not near 0. NaN for constant states.
    """
    x, y = _centred(a), _centred(b)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norms) if norms > 0 else float("nan")


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Squared Frechet distance of gaussians fitted to states [prompts, width] each.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Dowson and Landau 1982). Biased upwards: two
    samples of one distribution are above 0.
    """
    # The trace of the root is the sum of singular values of A B^T / (n - 1), A and B centred. So no
    # root of the product is needed, which is not symmetric (a fault of the code released with arXiv
    # 2509.12235), and fewer prompts than dimensions are no problem.

    x, y = _centred(a), _centred(b)
    means = _floats(a).mean(0) - _floats(b).mean(0)
    x, y = x / np.sqrt(len(x) - 1), y / np.sqrt(len(y) - 1)
    # With A = Q R, A B^T has the singular values of R_a R_b^T, which is [width, width] at most.
    first, second = (np.asarray(np.linalg.qr(side, mode="r")) for side in (x, y))
    root = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(means @ means + (x**2).sum() + (y**2).sum() - 2 * root)


def median_gamma(states: ArrayLike) -> float:
    """1 / median squared distance of states [prompts, width]: a bandwidth for `mmd`.

    All pairs use the bandwidth of one checkpoint, the peak. The published script has one bandwidth
    per pair, so its values cannot be compared (a fault of the code released with arXiv 2509.12235).

    Raises:
        ValueError: half of the states coincide, so that the median is 0.
    """
    median = float(np.median(pdist(_floats(states), "sqeuclidean")))
    if not median > 0:
        raise ValueError(f"median_gamma: median squared distance is {median}, expected above 0")
    return 1 / median


def mmd_terms(a: ArrayLike, b: ArrayLike, gamma: float) -> Floats:
    """Terms h(i, j) of the unbiased estimate of MMD^2, [prompts, prompts], diagonal 0.

    h(i, j) = k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) - k(b_i, a_j), k(x, y) = exp(-gamma |x - y|^2)
    (Gretton et al. 2012, equation 4). No term contains both states of one prompt, so the estimate
    is unbiased although the two depend on each other.
    """
    x, y = _floats(a), _floats(b)
    kernels = [np.exp(-gamma * cdist(*pair, "sqeuclidean")) for pair in ((x, x), (y, y), (x, y))]
    terms: Floats = kernels[0] + kernels[1] - kernels[2] - kernels[2].T
    # i = j is excluded: k(x, x) = 1 would bias the estimate.
    np.fill_diagonal(terms, 0.0)
    return terms


def mmd(a: ArrayLike, b: ArrayLike, gamma: float) -> float:
    """Unbiased squared maximum mean discrepancy of states [prompts, width], RBF kernel.

    0 for equal states, at most 2. Two samples of one distribution have mean 0, so it can be
    negative.
    """
    return mean_of_terms(mmd_terms(a, b, gamma))


def mean_of_terms(terms: Floats) -> float:
    """Mean of the entries off the diagonal, which is 0, of [prompts, prompts]."""
    count = len(terms)
    return float(terms.sum() / (count * (count - 1)))


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _centred(states: ArrayLike) -> Floats:
    values = _floats(states)
    centred: Floats = values - values.mean(0)
    return centred


def _log_probs(values: ArrayLike, temperature: float = 1.0) -> Floats:
    normalised: Floats = log_softmax(_floats(values) / temperature, axis=-1)
    return normalised
