"""Methods among panels: all of them, none with more than five, the reference in each."""

from mmdg_lite.plots.panels import MOST, REFERENCE, colours, panel_grid, panels
from mmdg_lite.plots.style import COLOURS
from mmdg_lite.runs.methods import METHODS

TITLES = [method.title for method in METHODS.values()]


def test_five_methods_share_one_panel():
    assert panels(TITLES[:MOST]) == [("", TITLES[:MOST])]


def test_every_method_and_one_of_a_plugin_is_in_a_panel_beside_the_reference():
    found = panels([*TITLES, "my own"])
    assert {name for _, names in found for name in names} == {*TITLES, "my own"}
    assert all(names[-1] == REFERENCE and len(set(names)) == len(names) <= MOST for _, names in found)
    assert len({title for title, _ in found}) == len(found)


def test_without_the_reference_nothing_is_added():
    others = [title for title in TITLES if title != REFERENCE]
    assert {name for _, names in panels(others) for name in names} == set(others)


def test_a_group_of_which_all_is_shown_already_takes_no_panel():
    names = [METHODS[name].title for name in ("linear_probe", "head", "fusion", "mmdg", "mmdg++", "flip")]
    assert [title for title, _ in panels(names)] == ["baselines", "peers"]


def test_colours_are_distinct_and_none_of_a_modality():
    found = colours(TITLES[:MOST])
    assert len(set(found.values())) == len(found)
    assert not set(found.values()) & set(COLOURS.values())


def test_no_panel_is_empty():
    figure, grid = panel_grid(5, (2, 2), columns=2)
    assert len(figure.axes) == len(grid) == 5
