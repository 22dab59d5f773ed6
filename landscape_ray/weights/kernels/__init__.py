"""The perturbation in one fused pass over the weights, on CPUs and on GPUs."""
