"""What a run is on disk: configuration, method, folder, scores and checkpoints."""
