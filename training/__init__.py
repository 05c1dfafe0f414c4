"""Training of SelfOcc from video: data, model, losses, trainer, export."""
