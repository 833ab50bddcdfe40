"""Training and evaluation: model registry, sampler, trainer, evaluator. Only `tuned` writes files."""
