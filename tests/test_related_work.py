"""The benchmark of the report's related work: both networks learn, and boxes are decoded."""

import runpy
from types import SimpleNamespace

import pytest
import torch
from serving import ROOT

from training.drawings import draw_digits


@pytest.fixture(scope="module")
def related():
    script = runpy.run_path(str(ROOT / "benchmarks" / "related_work.py"))
    return SimpleNamespace(**script, digits=[*map(torch.from_numpy, draw_digits(64, seed=0))])


def test_boxes_and_digits_of_composed_lines_are_decoded(related):
    for line, target in zip(*related.make_lines(20, *related.digits), strict=True):
        labels = target[target[:, 0] > 0, 5].long()
        answer = torch.cat([target[:, :5], torch.eye(10)[target[:, 5].long()]], dim=1)
        boxes, number = related.decode(answer)
        assert number == "".join(map(str, labels.tolist()))
        columns = torch.nonzero(line[0].any(0))
        assert abs(boxes[0, 0] - columns.min()) < 3 and abs(boxes[-1, 2] - columns.max() - 1) < 3
        for left, top, right, bottom in boxes.round().int().clamp(min=0).tolist():
            assert line[0, top:bottom, left:right].any()


def test_yolo_learns_and_a_resumed_training_repeats(related, tmp_path):
    torch.manual_seed(0)
    lines = related.make_lines(8, *related.digits)
    how = lambda step: lines, related.yolo_loss, lambda step: 0.002
    whole, half = related.make_yolo(), related.make_yolo()
    half.load_state_dict(whole.state_dict())
    losses = related.train_for(16, tmp_path / "whole.pt", whole, *how)
    assert losses[-1] < 0.5 * losses[0]
    related.train_for(8, tmp_path / "half.pt", half, *how)
    assert related.train_for(16, tmp_path / "half.pt", related.make_yolo(), *how) == losses


def test_alexnet_learns(related):
    torch.manual_seed(0)
    model, batch = related.make_alexnet(64).eval(), tuple(part[:8] for part in related.digits)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    losses = [related.take_step(model, optimizer, related.class_loss, batch) for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]
