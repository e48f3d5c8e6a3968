"""Configuration of the documentation site: `make docs` builds it into out/docs/html."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILT = ROOT / "out" / "docs"
sys.path.insert(0, str(HERE / "_extensions"))
from digests import digest_of

project = "synfin_analytics"
author = "the authors of synfin_analytics"
project_copyright = author
version = release = installed_version("synfin-analytics")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    # Ours, in _extensions:
    "accessible",
    "data_dictionary",
    "lessons",
    "mathml",
    "reference",
    "signatures",
]
templates_path = ["_templates"]
exclude_patterns = ["_extensions", "_templates", "**/.ipynb_checkpoints"]
# Every cross-reference must resolve, except types of other libraries, whose inventories would have
# to be downloaded.
nitpicky = True
nitpick_ignore_regex = [
    ("py:(class|obj|data|exc)", r"(?!synfin_analytics\b).*"),
    ("py:class", r"synfin_analytics\..*\.(\w+T|Facts)"),  # type variables
    ("py:class", r"synfin_analytics\.repositories\.\w+\.(ModelPerformance|TransactionStatistics)"),
    ("py:class", r"synfin_analytics\.(database\.status\.\w+|metrics\.splits\.Part)"),
    ("py:class", r"synfin_analytics\.simulation\.pattern\.(Episodes|FraudContext)"),
    ("py:class", r"synfin_analytics\.metrics\.fraud_rates\.DuckDBRelation"),
    ("py:class", r"synfin_analytics\.(\w+\.)*_\w+\.\w+"),  # types of private modules
]

# -- Pages in Markdown, and cells that run ---------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 4
# A cell runs once, and again when its page or the package changes.
package_digest = digest_of("synfin_analytics")
site_digest = digest_of("docs/_extensions", "docs/_templates")
nb_execution_mode = "cache"
nb_execution_cache_path = str(BUILT / "cache" / package_digest)
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_show_tb = True  # a failed cell is a warning, and so an error
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # they would be downloaded

# -- The reference ---------------------------------------------------------------------------------
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = False
autodoc_typehints = "signature"
autodoc_member_order = "groupwise"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the templates list them
numpydoc_class_members_toctree = False
# What numpydoc must find in every docstring of the reference.
numpydoc_validation_checks = {
    "all",
    "ES01",  # a summary may say all
    "EX01",  # tests/docs/test_pages.py asks for an example of every name, but not of every method
    "GL01",  # the summary begins on the line of the quotes: ruff's D212
    "GL02",  # quotes end on a line of their own: ruff's D209; comments of attributes have none
    "GL08",  # autodoc lists what has a docstring
    "PR04",  # types are in the signature
    "RT03",  # the type says all
    "SA01",  # see also: only where it helps
    "SA03",
    "SA04",
    "SS06",  # one line: ruff's D205
    "YD01",
}
# A method may have the short form: a summary and an example. A result that users do not create
# lists its attributes, and a summary may say what is returned.
_SHORT = r"(?sm)\A(?!.*^Parameters\n-+$)"
_SAYS_WHAT = r"\A(Change|Draw|Return|Split|Write)\b"
numpydoc_validation_overrides = {
    "PR01": [_SHORT],
    "PR03": [r"As for :func:"],
    "RT01": [_SHORT, _SAYS_WHAT],
    "SS05": [r"\AArguments\b"],  # a noun
}
# Comments of attributes.
numpydoc_validation_exclude = {
    r"\.TABLES$",
    r"\.(Replica)?PoolStatus\.\w+$",  # methods of dict
    r"\.(name|title|subject_type|required_columns)$",
}

# -- The site --------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "synfin_analytics"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_math_renderer = "mathml"  # rendered by the browser, without scripts or fonts
html_domain_indices = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_sidebars = {"getting_started": [], "index": []}
html_theme_options = {
    "logo": {"text": "synfin_analytics"},
    "header_links_before_dropdown": 5,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "collapse_navigation": True,  # buttons that unfold a section have no name for a screen reader
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "show_version_warning_banner": False,
}
