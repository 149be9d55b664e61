"""The laws of a dialect that is spoken in both directions, tried on random values (SERVE.md 13).

from engine.laws.prove import prove
proof = prove(catalog, [("dialects", "my-dialect")], count=1000, seed=7)
proof.problems                                   # what does not hold, each with a small counterexample and a line of YAML
"""

#: what these steps report
RULES = {
    "law": "What a dialect writes, it does not read back, or the other way round.\n\n"
    "`llmkit check --laws` writes random requests, answers and streams with a file and reads them with the same file. The message "
    "has the smallest case that was found and names the place that differs; the line is the one that most likely is to blame. "
    "Laws find what contradicts itself, not what is misspelt alike in both directions: that needs examples of real traffic.",
}
