"""The Keras convolutional tutorial: Conv 32, pool, Conv 64, pool, Dense 64, Dense 10, batch 32, 5 epochs."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
from idx import load_data


def main(data: Path, dataset: str, seed: int, smoke: bool) -> None:
    keras.utils.set_random_seed(seed)
    (train_images, y_train), (test_images, y_test) = load_data(data / dataset, 640 if smoke else None)
    x_train, x_test = train_images[..., None] / 255.0, test_images[..., None] / 255.0

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Conv2D(64, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])

    start = time.perf_counter()
    epochs = 1 if smoke else 5
    model.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=2)
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(x_test, y_test, verbose=2)[1]
    print(
        json.dumps(
            {
                "device": "cpu",
                "versions": {"keras": keras.__version__, "Keras backend": keras.backend.backend()},
                "fit_seconds": seconds,
                "epoch_seconds": seconds / epochs,
                "test_accuracy": float(accuracy),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds <dataset>/raw")
    parser.add_argument("--dataset", choices=["MNIST", "FashionMNIST"], default="MNIST")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="640 images, one epoch")
    arguments = parser.parse_args()
    main(arguments.data, arguments.dataset, arguments.seed, arguments.smoke)
