"""Means over the weighted paths of each place: values and drifts, their errors, and where too few paths tell them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fkflow.errors import NumericalError

#: by how much the difference of twice the step exceeds the stated error of a step, whose order is four
STATED = 5.0
#: effective paths below which there is no value, and effective share below which values are doubtful
SILENT, POOR = 25.0, 0.1


@dataclass(frozen=True)
class Values:
    """Values (P,) of places at one time with errors, in which that of the time step is, and effective shares of the paths.

    Values are NaN where too few paths have all the weight.
    """

    values: np.ndarray
    errors: np.ndarray
    ess: np.ndarray
    step_error: np.ndarray


@dataclass(frozen=True)
class Slopes:
    """The drift (P, N·D) of places at one time with errors, and effective shares (P,)."""

    vectors: np.ndarray
    errors: np.ndarray
    ess: np.ndarray


def means(sign: Tensor, log: Tensor, coarse: Tensor) -> np.ndarray:
    """Mean, its error, effective share and change with twice the step (P, 4) of weights (P, paths)."""
    if not bool((log < math.inf).all()):
        raise NumericalError("a path has no weight: the potential or psi is not a number where it went")
    top = log.max(1, keepdim=True).values
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    size = (log - top).exp()
    w, other = sign * size, sign * (coarse - top).exp()
    mean = w.mean(1)
    scale = top[:, 0].exp()
    square = w.square().mean(1)
    share = torch.where(square > 0, mean.square() / square, torch.zeros_like(mean))
    error = w.std(1) / math.sqrt(w.shape[1])
    return np.asarray(torch.stack([mean * scale, error * scale, share, (other.mean(1) - mean) * scale], 1).numpy())


def values_of(rows: np.ndarray, paths: int) -> Values:
    """The values of rows that `means` gave, NaN where few paths have all the weight."""
    few = rows[:, 2] * paths < SILENT
    step = np.abs(rows[:, 3]) / STATED
    known = (np.where(few, np.nan, column) for column in (rows[:, 0], np.hypot(rows[:, 1], step), step))
    values, errors, step_error = known
    return Values(values, errors, rows[:, 2], step_error)


def weighted_slopes(rows: Tensor, log: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (P, d), errors and effective shares (P,) of estimators (k, P, paths, d) with the weights e^log (P, paths)."""
    w = log.softmax(1)
    each = torch.einsum("pb,kpbd->kpd", w, rows)
    apart = (rows - each[:, :, None]) * w[None, :, :, None]
    # the best combination of each coordinate, of all places together, so that it does not follow the noise of one
    covariance = torch.einsum("kpbd,lpbd->pdkl", apart, apart)
    pooled = covariance.mean(0)
    pooled = pooled + 1e-3 * torch.diag_embed(pooled.diagonal(dim1=1, dim2=2))
    ones = torch.ones(len(pooled), len(rows), 1, dtype=torch.float64)
    mix = torch.linalg.solve(pooled, ones)[..., 0]
    mix = mix / mix.sum(1, keepdim=True)
    mean = torch.einsum("dk,kpd->pd", mix, each)
    error = torch.einsum("dk,pdkl,dl->pd", mix, covariance, mix).clamp_min(0).sqrt()
    ess = 1 / (w.square().sum(1) * w.shape[1])
    return mean.numpy(), error.numpy(), ess.numpy()


def slopes_of(found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], paths: int) -> Slopes:
    """The drifts of places that `weighted_slopes` gave part by part, NaN where few paths have all the weight."""
    vectors, errors, ess = (np.concatenate(part) for part in zip(*found, strict=True))
    few = ess * paths < SILENT
    return Slopes(np.where(few[:, None], np.nan, vectors), np.where(few[:, None], np.nan, errors), ess)
