"""Several targets behind one name: which to ask, in which order, and why. Decisions are pure; `run` carries them out."""
