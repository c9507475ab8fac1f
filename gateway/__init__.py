"""Nahtlos: carries an application from the portal to the case system, and loses nothing on the way."""

__version__ = "0.1.0"
