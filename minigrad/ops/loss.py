# ruff: noqa: F401 (others import these names from here)
"""Losses from one place: how far a prediction is from its target.

regression      numbers: mse, l1, huber, gaussian and poisson likelihoods
classification  probabilities: cross entropies, negative log-likelihood, divergence
distance        cosine_similarity, pairwise_distance, cdist, pdist, cross
margin          hinge, ranking, triplet and multi-class margins
ctc             alignments of sequences
"""

from __future__ import annotations

from .classification import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    linear_cross_entropy,
    nll_loss,
)
from .ctc import ctc_loss
from .distance import cdist, cosine_similarity, cross, linalg_cross, pairwise_distance, pdist
from .margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .regression import (
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
