"""The version, written once: the build and the package both read it from here."""

__version__ = "0.7.0"
