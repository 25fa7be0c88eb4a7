"""Settings of Sphinx for the site. docs/build.py calls it."""

project = "mmdg_lite"
author = "The mmdg_lite maintainers"
extensions = ["myst_nb", "autoapi.extension", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx-mathjax-offline"]

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
# Docstrings are plain text, not always reStructuredText; notebooks step over a level of headings where it reads well;
# lazy packages cannot be followed without importing them. What stays an error: a page or link that leads nowhere.
suppress_warnings = ["docutils", "myst.header", "ref.python", "autoapi.python_import_resolution"]

autoapi_root = "api"
autoapi_options = ["members"]
autoapi_ignore = ["*/__main__.py", "*/_former_names.py", "*.pyi"]
autoapi_python_class_content = "class"
autoapi_member_order = "bysource"
autoapi_add_toctree_entry = False
# names in docstrings stand in single backquotes
default_role = "code"

html_theme = "sphinx_book_theme"
html_title = "mmdg_lite"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
