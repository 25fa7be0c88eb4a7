"""What the findings of every numbered notebook must satisfy: one module `notebook_NN` each, with `check(found)`.

A module may also have `PARAMETERS`, beyond the core ones, with which its notebook is executed in the tests.
"""
