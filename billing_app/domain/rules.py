"""The error that parsers raise for a value that they don't accept."""

from __future__ import annotations


class BrokenRule(ValueError):
    """A value breaks a rule. `rule` names it, and `facts` holds what a sentence about it needs.

    `billing_app.wording.rules` has the sentence for each rule.
    """

    def __init__(self, rule: str, /, **facts: object) -> None:
        super().__init__(rule)
        self.rule = rule
        self.facts = facts
