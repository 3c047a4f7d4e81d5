"""The network, part by part; pictures and ids in, logits out."""
