from __future__ import annotations

from selfocc_core.evaluation.summary import summary_rows

RUN = {
    'frames_in': 3,
    'frames_published': 2,
    'latency_ms_p50': 120.4,
    'latency_ms_p95': None,
    'realtime_factor': 0.5,
    'model': 'tiny',
    'backend': 'onnxruntime-cpu',
}


def test_model_stands_beside_the_baseline():
    errors = {'abs_rel': 0.25, 'in_volume': {'abs_rel': 0.2, 'rmse': 2.0, 'delta_1': 0.8}}
    worse = {'abs_rel': 0.5, 'in_volume': {'abs_rel': 0.4, 'rmse': 4.0, 'delta_1': 0.4}}
    depth = {**errors, 'baselines': {'flat_ground': worse}}
    rows = {title: (model, flat) for title, model, flat in summary_rows(
        {**RUN, 'occupancy': None, 'depth': depth}
    )}  # fmt: skip
    assert rows['depth AbsRel'] == ('0.25', '0.5')
    assert rows['depth δ < 1.25, within the volume'] == ('0.8', '0.4')
    assert rows['frame sets published'] == ('2', '')
    assert rows['latency, 95 % (ms)'] == ('–', '')
    assert rows['occupancy'] == ('no truth in this drive', '')
