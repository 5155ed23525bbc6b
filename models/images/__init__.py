"""Labelled images: folders, archives, shards, ImageNet as downloaded."""
