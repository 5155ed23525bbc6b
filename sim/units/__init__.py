"""The units of the attention datapath: specification and kernel of each, side by side."""
