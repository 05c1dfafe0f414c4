from __future__ import annotations

import cv2
import numpy as np
import torch

from training.data.augmentation import distort


def draw(seed: int, images: torch.Tensor) -> torch.Tensor:
    return distort(images, torch.Generator().manual_seed(seed))


def test_colors_change_within_their_limits():
    images = torch.full((300, 1, 1, 3), 100, dtype=torch.uint8)
    gray = draw(0, images)[:, 0, 0]
    # Of a gray pixel only brightness and contrast change: half the time each.
    torch.testing.assert_close(gray[:, 0], gray[:, 2], atol=1e-3, rtol=0)
    assert float(gray.min()) >= (100 - 32) * 0.8 - 1e-3
    assert float(gray.max()) <= (100 + 32) * 1.2 + 1e-3
    untouched = float(((gray[:, 0] - 100).abs() < 1e-3).float().mean())
    assert 0.15 < untouched < 0.35


def test_hue_turns_by_at_most_18_degrees():
    images = torch.tensor([200, 60, 60], dtype=torch.uint8).expand(300, 1, 1, 3).contiguous()
    hues = np.array(
        [cv2.cvtColor(i.numpy() / 255, cv2.COLOR_RGB2HSV)[0, 0, 0] for i in draw(1, images)]
    )
    turned = (hues + 180) % 360 - 180
    assert np.abs(turned).max() <= 18.01
    assert np.abs(turned).max() > 15
    assert 0.35 < (np.abs(turned) > 0.05).mean() < 0.65


def test_each_camera_changes_in_its_own_way_and_every_time_the_same():
    images = torch.randint(0, 256, (6, 4, 4, 3), dtype=torch.uint8)
    one = draw(3, images)
    assert one.dtype == torch.float32
    assert float(one.min()) >= 0
    assert float(one.max()) <= 255
    assert torch.equal(one, draw(3, images))
    assert not torch.equal(one, draw(4, images))
    same = draw(3, images[:1].expand(6, -1, -1, -1).contiguous())
    assert len({tuple(image.flatten().tolist()) for image in same}) > 2
