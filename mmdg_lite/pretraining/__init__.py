"""Pre-training of the tiny CLIP on rendered pictures and captions."""
