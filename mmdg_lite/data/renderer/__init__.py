"""The synthetic renderer: scenes, presentation attacks, surfaces, and the sensors that see them."""
