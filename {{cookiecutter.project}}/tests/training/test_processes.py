"""The shares of several processes become one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from {{cookiecutter.package}}.training.processes import gather_in_order


@pytest.mark.parametrize("num_rows", [1, 6, 7])
def test_shares_of_processes_in_the_order_of_the_split(num_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(2 * num_rows).view(num_rows, 2)

    def gather(shares: list[Any], _: torch.Tensor) -> None:
        shares[:] = [rows[rank :: len(shares)] for rank in range(len(shares))]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    trainer: Any = SimpleNamespace(world_size=3)
    assert torch.equal(gather_in_order(rows[::3], trainer), rows)
