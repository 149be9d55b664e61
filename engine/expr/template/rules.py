"""What the template compiler reports."""

from __future__ import annotations

RULES = {
    "bad-expression": "An expression is not one the language has.\n\nExpressions are Jinja2's, without statements, methods, "
    "powers and calls of anything but the listed functions (SPEC_LANGUAGE 3.3). Numbers are needed where one calculates.",
    "unknown-name": "A name is neither a field of the request, a variable of the provider nor one of a loop.\n\nSecrets are "
    "names in `auth` only.",
    "unknown-field": "A name is not a field of what stands before it.",
    "unknown-filter": "A filter is not one of the twenty-one (SPEC_LANGUAGE 3.3).",
    "unknown-test": "A test is not one of `string number mapping sequence defined none`.",
    "unknown-function": "A function is not one of `parts uuid now date`, or in `auth` of those and the hashes; there are no "
    "methods.",
    "unknown-value": "A text is compared with a value that can never equal it.",
    "unknown-part": "`parts` has an entry for something that is no part type.",
    "unknown-case": "A case of `$switch` can never be chosen.",
    "duplicate-case": "A case stands twice; the second would never be chosen.",
    "bad-arguments": "A filter or function is given arguments it does not take.",
    "bad-for": "`$for` is written `<name> in <expression>` or `<name>, <number> in …`, over a list, and nests at most four deep.",
    "bad-directive": "A directive stands where it has no effect, or beside another that excludes it.",
    "may-vanish": "In a text a conditional without `else` makes the whole text vanish.\n\nA text is nothing as soon as one of "
    "its holes is. Write `else ''` if only the hole is meant to be empty.",
}
