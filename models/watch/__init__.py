"""What is seen of a running datapath: checks, watermarks, digests, captures."""
