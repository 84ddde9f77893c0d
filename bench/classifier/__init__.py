"""How good the classifier is on labelled requests."""
