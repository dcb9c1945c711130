"""ResNet-50 on one batch of random tensors that stays on the device: what training costs when data costs nothing.

As in ``ours/resnet50.py``: bfloat16, channels_last, compiled, a fused AdamW. Made for a GPU; on a CPU, ``--smoke``.
"""

from __future__ import annotations

import argparse
import json

import torch
from clock import now
from torch.nn import functional as F
from torchvision.models import resnet50

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BATCH_SIZE, IMAGE_SIZE, NUM_CLASSES = 256, 224, 2
NUM_WARMUP_STEPS, NUM_STEPS = 10, 60


def main(seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    batch_size, num_warmup_steps, num_steps = (4, 1, 1) if smoke else (BATCH_SIZE, NUM_WARMUP_STEPS, NUM_STEPS)
    model = resnet50(num_classes=NUM_CLASSES).to(DEVICE, memory_format=torch.channels_last)
    network = model if smoke else torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(batch_size, 3, IMAGE_SIZE, IMAGE_SIZE, device=DEVICE)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(NUM_CLASSES, (batch_size,), device=DEVICE)
    for step in range(num_warmup_steps + num_steps):
        if step == num_warmup_steps:
            start = now()
        with torch.autocast(DEVICE.type, torch.bfloat16):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(json.dumps({"device": DEVICE.type, "images_per_second": num_steps * batch_size / (now() - start)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", help="not needed: the network is torchvision's")
    parser.add_argument("--data", help="not needed: the images are random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two steps")
    arguments = parser.parse_args()
    main(arguments.seed, arguments.smoke)
