"""crosstalk: first-principles numbers for battery electrolytes and interphases.

Config says what, a plan turns it into frozen specs, an engine turns a spec into a record, observables turn records
into quantities, tables set quantities beside references and claims. Data goes one way.
"""

__version__ = "0.1.0"
