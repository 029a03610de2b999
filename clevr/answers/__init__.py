"""What a model answers: to a split, or to one question about one picture; judged, tabled and drawn."""
