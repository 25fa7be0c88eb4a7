"""Every figure that the package draws."""
