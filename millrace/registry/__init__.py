"""Models: what a reference such as ``torch:model.pt2`` names, pinned by the hash of its content."""
