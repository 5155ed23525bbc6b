"""Thin command lines over the library: parse, one call, print."""
