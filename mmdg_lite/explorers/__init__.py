"""Interactive explorers for notebooks 04 and 08: sliders, and the pictures that they redraw."""
