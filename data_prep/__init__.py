"""Converters from the four data sets' own formats, and the renderer, to the common form that mmdg_lite reads."""
