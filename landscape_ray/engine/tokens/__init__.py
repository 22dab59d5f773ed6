"""From prompts to tokens and back, the same for all engines that run a model."""
