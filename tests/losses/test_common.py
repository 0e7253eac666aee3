"""What every loss does at its door: the arithmetic that they share."""

from __future__ import annotations

import torch

from kdcore.losses._common import full_precision


class TestFullPrecision:
    def test_products_inside_autocast_keep_their_precision(self):
        left = torch.full((4, 4), 1.001)
        with torch.autocast("cpu", torch.bfloat16):
            assert (left @ left).dtype == torch.bfloat16
            with full_precision(left):
                assert (left @ left).dtype == torch.float32

    def test_tensors_without_values_pass(self):
        left = torch.empty(4, 4, device="meta")
        with full_precision(left):
            assert (left @ left).shape == (4, 4)
