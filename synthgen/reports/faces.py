"""The four faces of quality, and how a report says how it stands with each."""

__all__ = ["FACES", "MARKS", "in_words"]

FACES = {
    "fidelity": "Does it look real?",
    "utility": "Does a model trained on it work on real data?",
    "privacy": "Does it give away training records?",
    "fairness": "Does it treat groups as the real data does, or better?",
}
MARKS = {"good": "✓", "mixed": "≈", "poor": "!", "unknown": "?"}
"""By level; nobody has to tell levels by colour."""

WORDS = {"good": "as it should be", "mixed": "in part", "poor": "not good", "unknown": "not known"}


def in_words(face: str, level: str) -> str:
    """A level in a word or two; of privacy nothing better can be said than that nothing was found."""
    return "nothing found" if face == "privacy" and level == "good" else WORDS[level]
