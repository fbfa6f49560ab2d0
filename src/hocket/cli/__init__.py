"""The commands of ``hocket``: what a person types, and what they see."""
