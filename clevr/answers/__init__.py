"""What a model answers: to a split, or to one question about one image; judged, tabled and drawn."""
