"""The benchmark of the report's related work: both networks learn, and boxes are decoded."""

import runpy
from types import SimpleNamespace

import torch
from serving import ROOT

from training.drawings import draw_digits

DIGITS = tuple(map(torch.from_numpy, draw_digits(64, seed=0)))
RELATED = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "related_work.py")))


def test_boxes_and_digits_of_composed_lines_are_decoded():
    for line, target in zip(*RELATED.make_lines(20, *DIGITS), strict=True):
        labels = target[target[:, 0] > 0, 5].long()
        right = torch.cat([target[:, :5], torch.eye(10)[target[:, 5].long()]], dim=1)
        boxes, number = RELATED.decode(right)
        assert number == "".join(map(str, labels.tolist()))
        columns = torch.nonzero(line[0].any(0))
        assert abs(boxes[0, 0] - columns.min()) < 3 and abs(boxes[-1, 2] - columns.max() - 1) < 3
        for left, top, right, bottom in boxes.round().int().clamp(min=0).tolist():
            assert line[0, top:bottom, left:right].any()


def test_yolo_learns_and_a_resumed_training_repeats(tmp_path):
    torch.manual_seed(0)
    lines = RELATED.make_lines(8, *DIGITS)
    how = lambda step: lines, RELATED.yolo_loss, lambda step: 0.002
    whole, half = RELATED.make_yolo(), RELATED.make_yolo()
    half.load_state_dict(whole.state_dict())
    losses = RELATED.train_for(16, tmp_path / "whole.pt", whole, *how)
    assert losses[-1] < 0.5 * losses[0]
    RELATED.train_for(8, tmp_path / "half.pt", half, *how)
    assert RELATED.train_for(16, tmp_path / "half.pt", RELATED.make_yolo(), *how) == losses


def test_alexnet_learns():
    torch.manual_seed(0)
    model, batch = RELATED.make_alexnet(64).eval(), tuple(part[:8] for part in DIGITS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    how = model, optimizer, RELATED.class_loss, batch
    losses = [RELATED.take_step(*how) for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]
