"""MNIST as PyTorch tutorials train it: one image at a time through ToTensor and Normalize, in every epoch."""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

TARGET = 0.978
MAX_EPOCHS = 12
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 256)
        self.fc2 = nn.Linear(256, 128)
        self.fc3 = nn.Linear(128, 10)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.view(-1, 784)
        x = self.dropout(F.relu(self.fc1(x)))
        x = self.dropout(F.relu(self.fc2(x)))
        logits: torch.Tensor = self.fc3(x)
        return logits


def train(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, int]], optimizer: torch.optim.Optimizer) -> None:
    model.train()
    for data, target in loader:
        data, target = data.to(DEVICE), target.to(DEVICE)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()


def test(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, int]]) -> float:
    model.eval()
    correct = 0
    total = 0
    with torch.no_grad():
        for data, target in loader:
            data, target = data.to(DEVICE), target.to(DEVICE)
            correct += int((model(data).argmax(dim=1) == target).sum().item())
            total += len(target)
    return correct / total


def load(root: str, train: bool, smoke: bool) -> Dataset[tuple[torch.Tensor, int]]:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    dataset: Dataset[tuple[torch.Tensor, int]] = datasets.MNIST(root, train=train, transform=transform)
    return Subset(dataset, range(640)) if smoke else dataset


def main(root: str, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    start = time.perf_counter()
    train_loader = DataLoader(load(root, True, smoke), batch_size=64, shuffle=True)
    test_loader = DataLoader(load(root, False, smoke), batch_size=64)
    model = Net().to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    history: list[tuple[float, float]] = []  # seconds without those of the tests, test accuracy
    in_tests = 0.0
    for _ in range(1 if smoke else MAX_EPOCHS):
        train(model, train_loader, optimizer)
        trained = time.perf_counter()
        accuracy = test(model, test_loader)
        history.append((trained - start - in_tests, accuracy))
        in_tests += time.perf_counter() - trained
        if accuracy > TARGET:
            break

    reached = history[-1][1] > TARGET
    print(
        json.dumps(
            {
                "device": DEVICE.type,
                "history": history,
                "seconds_to_target": history[-1][0] if reached else None,
                "epoch_seconds": history[-1][0] / len(history),
                "num_epochs": len(history),
                "test_accuracy": history[-1][1],
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="640 images, one epoch")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seed, arguments.smoke)
