"""The units of the network around attention: specification and kernel of each, side by side."""
