"""The HTML report of a run: results, diagnosis of the training, calibration, mistakes."""
