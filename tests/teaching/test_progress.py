"""Progress in a notebook: ticks with points, a summary, and one line for a blank whatever cell calls it."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mmdg_lite.teaching import progress


def test_points_are_counted_once_and_lost_again(capsys):
    progress.begin(by_hand=9, halve=3, double=2)
    progress.passed("halve", "right")
    progress.passed("halve", "right")
    assert capsys.readouterr().out.splitlines() == ["\N{WHITE HEAVY CHECK MARK} halve: right (3 of 5 points)"] * 2
    progress.passed("double", "right")
    progress.failed("halve")
    capsys.readouterr()
    progress.summary()
    assert capsys.readouterr().out.splitlines() == [
        "\N{WHITE LARGE SQUARE} halve   0 of 3",
        "\N{WHITE HEAVY CHECK MARK} double  2 of 2",
        "2 of 5 points by the checks; 9 more are given by hand, for the answers in words",
    ]


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_a_blank_shows_one_line(shell, capsys):
    progress.begin(by_hand=0, halve=1)
    shell.run_cell(
        "def halve(x):\n    raise NotImplementedError()\n\ndef plot():\n    return [halve(i) for i in range(3)]"
    )
    capsys.readouterr()
    result = shell.run_cell("plot()")
    assert isinstance(result.error_in_exec, NotImplementedError) and not result.success
    assert (
        capsys.readouterr().out.strip() == "Not answered yet: write `halve` in its cell, run that cell, then this one"
    )
