"""Confidence that means what it says: one temperature for a model, fitted on labelled lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ocrformer import metrics
from ocrformer.model.network import Bundle


class CalibrationError(ValueError):
    """Lines that tell nothing of confidences, in one sentence."""


Judged = tuple[Sequence[float], Sequence[bool]]
"""Confidences, and whether what they stand for is right."""

_TEMPERATURES = np.geomspace(0.25, 8.0, 241)
_FIGURE = "CER on "
_LEAST = 1e-6  # doubt that is always left, so that one sure error does not decide everything


def fit_temperature(confidences: Sequence[float], right: Sequence[bool], present: float = 1.0) -> float:
    """The temperature under which the lines' verdicts are the most probable (Guo et al. 2017, for whole lines).

    Args:
        confidences: Of lines, as read at the `present` temperature.
        right: Whether each line has no error.
        present: Temperature of the model that read them.

    Raises:
        CalibrationError: If they are of one kind.
    """
    if len(set(right)) < 2:
        counts = f"here {sum(right)} of {len(right)} are read right"
        raise CalibrationError(f"calibration needs lines that are read right and lines that are not; {counts}")
    scores = np.log(np.clip(np.array(confidences, np.float64), 1e-300, 1.0)) * present
    verdicts = np.array(right, bool)

    def surprise(temperature: float) -> float:
        likely = np.clip(np.exp(scores / temperature), _LEAST, 1 - _LEAST)
        return float(-np.where(verdicts, np.log(likely), np.log1p(-likely)).mean())

    return float(min(_TEMPERATURES, key=surprise))


def calibrated(bundle: Bundle, temperature: float, error_rates: Mapping[str, float]) -> Bundle:
    """The same weights, whose readers divide log-probabilities by the temperature; they tell the error rates."""
    figures = {f"{_FIGURE}{name}": f"{100 * rate:.2f} %" for name, rate in error_rates.items()}
    details = without_error_rates(bundle.details) | figures | {"temperature": f"{temperature:.3f}"}
    return replace(bundle, details=details)


def without_error_rates(details: Mapping[str, str]) -> dict[str, str]:
    """Details without what `calibrated` noted of error rates, which do not hold for other weights or data sets."""
    return {key: value for key, value in details.items() if not key.startswith(_FIGURE)}


def cross_fitted(parts: Sequence[Judged], present: float = 1.0) -> list[float]:
    """For each part the temperature that is fitted on all others, so that it can be judged on what it never saw.

    Args:
        parts: Lines of different documents, as read at the `present` temperature.
        present: Temperature of the model that read them.
    """
    fitted = []
    for index in range(len(parts)):
        others = [*parts[:index], *parts[index + 1 :]]
        confidences = [confidence for known, _ in others for confidence in known]
        fitted.append(fit_temperature(confidences, [verdict for _, right in others for verdict in right], present))
    return fitted


def calibration_of(parts: Sequence[Judged], ratios: Sequence[float]) -> metrics.Calibration:
    """What the confidences of all parts would be worth if the temperature of each were multiplied by its ratio."""
    tempered = [c ** (1 / ratio) for (known, _), ratio in zip(parts, ratios, strict=True) for c in known]
    return metrics.calibrate(tempered, [verdict for _, right in parts for verdict in right])
