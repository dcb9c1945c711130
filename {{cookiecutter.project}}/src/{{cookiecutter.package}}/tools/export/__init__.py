"""A folder with which a trained model is used without this project: ONNX, a predictor, proofs, a model card."""
