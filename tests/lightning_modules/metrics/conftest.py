"""PySODMetrics, the oracle, driven over a list of pairs."""

import warnings
from types import SimpleNamespace

import numpy as np
import py_sod_metrics
import pytest
from torch import Tensor


class SmeasureWithoutEmptyQuadrants(py_sod_metrics.Smeasure):
    """The oracle, but a quadrant without pixels counts for nothing where it would give NaN."""

    def ssim(self, pred: np.ndarray, gt: np.ndarray) -> float:
        return super().ssim(pred, gt) if pred.size else 0.0


def f_max_of_means(results: dict) -> float:
    precision, recall = results["precision"]["dynamic"], results["recall"]["dynamic"]
    divisor = 0.3 * precision + recall
    f_curve = np.divide(1.3 * precision * recall, divisor, where=divisor > 0, out=0 * divisor)
    return f_curve.max()


def score_with_oracle(pairs: list[tuple[Tensor, Tensor]]) -> SimpleNamespace:
    """Return per-image ``values``, named as our metrics name them, and dataset ``scores``."""
    f_handler = py_sod_metrics.FmeasureHandler(with_dynamic=True, with_adaptive=True)
    f_measure = py_sod_metrics.FmeasureV2({"f": f_handler})
    s_measure = SmeasureWithoutEmptyQuadrants()
    e_measure = py_sod_metrics.Emeasure()
    mae = py_sod_metrics.MAE()
    weighted = py_sod_metrics.WeightedFmeasure()
    handlers = {
        "precision": py_sod_metrics.PrecisionHandler(with_dynamic=True, with_adaptive=False),
        "recall": py_sod_metrics.RecallHandler(with_dynamic=True, with_adaptive=False),
    }
    precision_recall = py_sod_metrics.FmeasureV2(handlers)
    for prediction, ground_truth in pairs:
        arrays = prediction.numpy(), ground_truth.numpy().astype(np.uint8) * 255
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for measure in (s_measure, f_measure, e_measure, mae, weighted, precision_recall):
                measure.step(*arrays)
    f_results = f_measure.get_results()["f"]
    e_results = e_measure.get_results()["em"]
    return SimpleNamespace(
        values={
            "s_measure": np.array(s_measure.sms),
            "f_curve": np.array(f_handler.dynamic_results)[:, ::-1],
            "f_adaptive": np.array(f_handler.adaptive_results, dtype=float),
            "e_curve": np.array(e_measure.changeable_ems)[:, ::-1],
            "e_adaptive": np.array(e_measure.adaptive_ems),
            "mae": np.array(mae.maes),
            "f_weighted": np.array(weighted.weighted_fms, dtype=float),
            **{
                f"{name}_curve": np.array(handler.dynamic_results)[:, ::-1]
                for name, handler in handlers.items()
            },
        },
        scores={
            "s_measure": s_measure.get_results()["sm"],
            "f_max": f_results["dynamic"].max(),
            "f_mean": f_results["dynamic"].mean(),
            "f_adaptive": f_results["adaptive"],
            "e_max": e_results["curve"].max(),
            "e_mean": e_results["curve"].mean(),
            "e_adaptive": e_results["adp"],
            "mae": mae.get_results()["mae"],
            "f_weighted": weighted.get_results()["wfm"],
            "f_max_dataset": f_max_of_means(precision_recall.get_results()),
        },
    )


@pytest.fixture
def oracle():
    return score_with_oracle
