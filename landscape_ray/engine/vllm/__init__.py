"""The engine of the product: vLLM, with perturbed weights put into the live model."""
