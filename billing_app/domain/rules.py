"""What a parser says about a value that it can't take."""

from __future__ import annotations


class BrokenRule(ValueError):
    """A value breaks a rule: `rule` is its stable word, `facts` are the numbers that a sentence needs.

    `billing_app.wording.rules` has the sentence for each word.
    """

    def __init__(self, rule: str, /, **facts: object) -> None:
        super().__init__(rule)
        self.rule = rule
        self.facts = facts
