"""Methods among panels: all of them, none with more than five, the reference in each."""

import matplotlib

from mmdg_lite.plots.panels import MOST, REFERENCE, colours, panel_grid, panels
from mmdg_lite.plots.style import COLOURS, RULE_COLOURS, rule_colour, style
from mmdg_lite.results.cells import display_name
from mmdg_lite.runs.methods import GROUPS, METHODS

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


def test_a_method_has_one_colour_in_all_panels():
    """Of all methods together, and of every group with the baselines."""
    asked = [TITLES, *([*map(display_name, (*GROUPS["baselines"], *members))] for members in GROUPS.values())]
    seen: dict[str, set[str]] = {}
    for names in asked:
        for _, panel in panels(list(dict.fromkeys(names))):
            for name, colour in colours(panel).items():
                seen.setdefault(name, set()).add(colour)
    assert {name: found for name, found in seen.items() if len(found) > 1} == {}
    alone = seen[display_name("fusion")] | seen[REFERENCE]
    assert not any(found & alone for name, found in seen.items() if name not in (display_name("fusion"), REFERENCE))
    assert not alone & set(COLOURS.values())


def test_rules_have_colours_of_their_own():
    of_rules = set(RULE_COLOURS.values())
    assert len(of_rules) == len(RULE_COLOURS) and not of_rules & set(COLOURS.values())
    assert rule_colour("ReGrad") == "black" and rule_colour("yours") not in of_rules


def test_lines_without_a_colour_of_their_own_are_no_modalitys():
    with style():
        cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    assert not {f"#{colour}".upper() for colour in cycle} & set(COLOURS.values())
